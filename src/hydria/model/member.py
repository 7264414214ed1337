"""The member: one server behind a pool (contract 1.13)."""

from __future__ import annotations

from typing import Annotated, ClassVar

from hydria.model import kinds
from hydria.model.resource import IDENTIFIER, TEXT, Attribute, Null, Resource, Use, internal
from hydria.model.statuses import VnicType


class Member(Resource, frozen=True, kw_only=True):
    """An address and port that takes requests."""

    root: ClassVar[str] = "member"
    plural: ClassVar[str] = "members"
    label: ClassVar[str] = "Member"
    argument: ClassVar[str] = "member_"
    table: ClassVar[str] = "members"
    within: ClassVar[str] = "pool_id"

    pool_id: Annotated[str, internal(IDENTIFIER, shown=False)]
    load_balancer_id: Annotated[str, internal(IDENTIFIER, shown=False, listed=False)]
    name: Annotated[str, TEXT] = ""
    address: Annotated[str, Attribute(kind=kinds.Address(), create=Use.REQUIRED, update=False)]
    protocol_port: Annotated[int, Attribute(kind=kinds.Integer(1, 65535), create=Use.REQUIRED, update=False)]
    # 0 drains: connections that it has go on, new ones go elsewhere.
    weight: Annotated[int, Attribute(kind=kinds.Integer(0, 256), default=1)] = 1
    backup: Annotated[bool, Attribute(kind=kinds.Boolean(), default=False, since="v2.1")] = False
    subnet_id: Annotated[str | None, Attribute(kind=IDENTIFIER, update=False)] = None
    monitor_address: Annotated[str | None, Attribute(kind=kinds.Address(), null=None)] = None
    monitor_port: Annotated[int | None, Attribute(kind=kinds.Integer(1, 65535), null=None)] = None
    request_sriov: Annotated[
        bool,
        Attribute(
            kind=kinds.Boolean(), update=False, default=False, shown=False, stored=False, listed=False,
            null=Null.DEFAULT, provider=None, since="v2.30",
        ),
    ] = False  # fmt: skip
    vnic_type: Annotated[
        VnicType, internal(kinds.Choice(VnicType), default=VnicType.NORMAL, since="v2.30")
    ] = VnicType.NORMAL
