"""The secrets of Hydria's own store, listed in Barbican's words for clients that let their users choose.

Only what everybody in a project may know of its secrets is here. Nothing can be added or changed, and no
payload is given to anybody: ``hydria certificate`` does that on the machine itself.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from urllib.parse import urlencode

import falcon
import msgspec

from hydria.api import plain_lists, policy, roots
from hydria.api.call import Call, Services
from hydria.api.listing import Params
from hydria.api.plain_lists import Item
from hydria.drivers.certificates.manager import Description, Listing
from hydria.model import kinds, secrets
from hydria.model.errors import Forbidden, NotFound
from hydria.model.resource import bad_value
from hydria.model.secrets import SecretKind

# Who may see listeners sees the references that they have.
_RULE = "listener:get_all"
_LONGEST_PAGE = 100
_PLACE = ("limit", "offset", "marker")
_TIMES = ("created", "updated", "expiration")
_APART = frozenset({*_PLACE, *_TIMES, "sort", "acl_only"})
_SORTABLE = ("created", "expiration", "mode", "name", "secret_type", "status", "updated")
_COMPARED: Mapping[str, Callable[[str, str], bool]] = {
    "gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le, "": operator.eq,
}  # fmt: skip
_MOMENT = "%Y-%m-%dT%H:%M:%S"
# Filters whose name is not that of the attribute.
_NAMES: Mapping[str, str] = {"alg": "algorithm", "bits": "bit_length"}


class SecretList:
    """A list with items below it. ``root``: its name; ``reference``: the key of an item's reference."""

    root: str
    reference: str
    label: str

    def __init__(self, services: Services, store: Listing) -> None:
        self._services = services
        self._store = store

    def on_get(self, req: falcon.Request, resp: falcon.Response, identifier: str = "") -> None:
        """List those of the caller's project, or show the one of this id or name."""
        settings = self._services.settings.api_settings
        base_url = roots.base_url(settings, req)
        call = Call(self._services, req.context.caller, base_url)
        project_id = call.caller.project_id
        if not project_id:
            raise policy.forbidden()
        policy.authorize(call, _RULE, project_id)
        described = self._store.describe(project_id)
        if identifier:
            named = (each for each in described if identifier in (each.name, secrets.id_of(each.name)))
            found = list(self._items(named))
            if not found:
                raise NotFound(self.label, kinds.shown(identifier))
            resp.data = msgspec.json.encode(found[0])
            return
        page = self._page(list(self._items(described)), req.params, f"{base_url}{req.path}")
        resp.data = msgspec.json.encode(page)

    def _items(self, described: Iterable[Description]) -> Iterator[Item]:
        raise NotImplementedError

    def _page(self, items: list[Item], params: Params, url: str) -> dict[str, object]:
        filters = {_NAMES.get(name, name): value for name, value in params.items()}
        found = plain_lists.matching(items, filters, _APART)
        for key in _TIMES:
            for text in plain_lists.many(params, key):
                found = [item for item in found if _in_time(key, item[key], text)]
        order = [
            part.partition(":")[::2] for text in plain_lists.many(params, "sort") for part in text.split(",")
        ]
        pairs = [(key, plain_lists.downwards(direction)) for key, direction in order]
        found = plain_lists.ordered(found, pairs, _SORTABLE)
        limit = min(plain_lists.number(params, "limit", _LONGEST_PAGE), _LONGEST_PAGE)
        offset = self._offset(found, params)
        answer: dict[str, object] = {self.root: found[offset : offset + limit], "total": len(found)}
        others = [
            (name, text) for name in params if name not in _PLACE for text in plain_lists.many(params, name)
        ]
        if limit and offset + limit < len(found):
            place = [("limit", limit), ("offset", offset + limit)]
            answer["next"] = f"{url}?{urlencode([*others, *place])}"
        if limit and offset:
            place = [("limit", limit), ("offset", max(0, offset - limit))]
            answer["previous"] = f"{url}?{urlencode([*others, *place])}"
        return answer

    def _offset(self, items: list[Item], params: Params) -> int:
        """Where the page begins: as Barbican has it, or behind a reference, as openstacksdk has it."""
        if "marker" not in params:
            return plain_lists.number(params, "offset")
        marker = str(params["marker"])
        for place, item in enumerate(items):
            if item[self.reference] == marker:
                return place + 1
        raise NotFound(self.label, kinds.shown(marker))


class Secrets(SecretList):
    """``/secrets`` and ``/secrets/{identifier}``."""

    root, reference, label = "secrets", "secret_ref", "Secret"

    def _items(self, described: Iterable[Description]) -> Iterator[Item]:
        for each in described:
            yield {
                "secret_ref": secrets.listed_reference(each.name),
                # Also lists of revoked ones: Horizon takes what is "opaque" for a certificate with its key.
                "secret_type": "certificate",
                "expiration": each.expires and each.expires.strftime(_MOMENT),
                "algorithm": None,
                "bit_length": None,
                "mode": None,
                **_common(each),
            }


class Containers(SecretList):
    """``/containers`` and ``/containers/{identifier}``: the certificates that have their key with them."""

    root, reference, label = "containers", "container_ref", "Container"

    def _items(self, described: Iterable[Description]) -> Iterator[Item]:
        for each in described:
            if each.kind is SecretKind.CERTIFICATE:
                # One secret of this store is all of it: certificate, what leads to its CA, and key.
                secret_ref = secrets.listed_reference(each.name)
                parts = [{"name": part, "secret_ref": secret_ref} for part in ("certificate", "private_key")]
                yield {
                    "container_ref": secrets.reference_to(each.name),
                    "type": "certificate",
                    "secret_refs": parts,
                    **_common(each),
                }


class Payload:
    """``/secrets/{identifier}/payload``"""

    def on_get(self, _req: falcon.Request, _resp: falcon.Response, identifier: str) -> None:
        """Refuse it."""
        raise Forbidden(
            f"The payload of secret {kinds.shown(identifier)} is given to nobody: secrets are kept here for"
            " load balancers alone."
        )


def _in_time(key: str, value: object, text: str) -> bool:
    """Whether a time is within bounds like ``gt:2027-01-01T00:00:00,lte:2027-02-01T00:00:00``."""
    for bound in text.split(","):
        word, colon, moment = bound.partition(":")
        compare = _COMPARED.get(word) if colon and word.isalpha() else _COMPARED[""]
        try:
            wanted = datetime.fromisoformat(moment if colon and word.isalpha() else bound)
        except ValueError:
            compare = None
        if compare is None:
            raise bad_value(key, text, "Expected ISO 8601 times, each with gt:, gte:, lt: or lte: before it.")
        if wanted.tzinfo is not None:
            wanted = wanted.astimezone(UTC)
        if value is None or not compare(str(value), wanted.strftime(_MOMENT)):
            return False
    return True


def _common(described: Description) -> Item:
    changed = described.changed.strftime(_MOMENT)
    return {
        "name": described.name,
        "status": "ACTIVE",
        "created": changed,  # a renewed one is another one
        "updated": changed,
        "creator_id": None,
        "consumers": [],
    }


def routes(services: Services, store: Listing) -> Iterator[tuple[str, object]]:
    """Path below ``/key-manager/v1`` -> endpoint."""
    for endpoint in (Secrets(services, store), Containers(services, store)):
        yield f"/{endpoint.root}", endpoint
        yield f"/{endpoint.root}/{{identifier}}", endpoint
    yield "/secrets/{identifier}/payload", Payload()
