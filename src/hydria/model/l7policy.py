"""The L7 policy: what a listener does with requests that match all of the policy's rules (contract 1.15)."""

from __future__ import annotations

from typing import Annotated, ClassVar

from hydria.model import alphabets, kinds, modification
from hydria.model.extensions import L7_ACTIONS
from hydria.model.modification import FixedResponse, HeaderChange, UrlRewrite
from hydria.model.resource import IDENTIFIER, TEXT, Attribute, Null, Recalled, Use, extended, internal
from hydria.model.statuses import PolicyAction

LAST = 2**31 - 1  # the position that says: behind all others


class L7Policy(Recalled, frozen=True, kw_only=True):
    """One of a listener's policies; they are tried in the order of their positions, and the first match wins.

    Positions of a listener's policies are 1, 2, 3, … without gaps (store/positions.py).
    """

    root: ClassVar[str] = "l7policy"
    plural: ClassVar[str] = "l7policies"
    label: ClassVar[str] = "L7 Policy"
    argument: ClassVar[str] = "l7policy_"
    table: ClassVar[str] = "l7policies"
    children: ClassVar[tuple[str, ...]] = ("rules", "redirect_pool")

    listener_id: Annotated[str, Attribute(kind=IDENTIFIER, create=Use.REQUIRED, update=False)]
    load_balancer_id: Annotated[str, internal(IDENTIFIER, shown=False, listed=False)]
    name: Annotated[str, TEXT] = ""
    description: Annotated[str, Attribute(kind=kinds.Text(lines=True), default="")] = ""
    action: Annotated[
        PolicyAction, Attribute(kind=kinds.Choice(PolicyAction), create=Use.REQUIRED, null=Null.REFUSE)
    ]
    redirect_pool_id: Annotated[str | None, Attribute(kind=IDENTIFIER, null=None)] = None
    redirect_url: Annotated[str | None, Attribute(kind=alphabets.REDIRECT_URL, null=None)] = None
    redirect_prefix: Annotated[str | None, Attribute(kind=alphabets.REDIRECT_URL, null=None)] = None
    redirect_http_code: Annotated[
        int | None, Attribute(kind=alphabets.REDIRECT_CODE, null=None, since="v2.9")
    ] = None
    position: Annotated[int, Attribute(kind=kinds.Integer(1, LAST), default=LAST)] = LAST
    fixed_response: Annotated[
        FixedResponse | None, extended(L7_ACTIONS, modification.FIXED_RESPONSE, listed=False)
    ] = None
    header_changes: Annotated[
        list[HeaderChange] | None, extended(L7_ACTIONS, modification.HEADER_CHANGES, listed=False)
    ] = None
    url_rewrite: Annotated[
        UrlRewrite | None, extended(L7_ACTIONS, modification.URL_REWRITE, listed=False)
    ] = None
