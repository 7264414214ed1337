"""What this API has beyond Octavia's, for clients that want to know before they ask for it.

It names the attributes and words of each extension. Whoever may use the API at all may read it.
"""

from __future__ import annotations

from collections.abc import Iterator

import falcon
import msgspec

from hydria.api.views import EXTENDED_CHILDREN
from hydria.model import extensions, kinds
from hydria.model.errors import NotFound
from hydria.model.extensions import Extension
from hydria.model.resource import Resource, Use, attributes, name_of, wire_name
from hydria.store.tables import RESOURCES

ROOT = "extensions"


class Extensions:
    """``/extensions`` and ``/extensions/{alias}``"""

    def on_get(self, _req: falcon.Request, resp: falcon.Response, alias: str = "") -> None:
        """List them, or show the one of this alias."""
        found = [shown(each) for each in extensions.ALL if alias in ("", each.alias)]
        if alias and not found:
            raise NotFound("Extension", kinds.shown(alias))
        resp.data = msgspec.json.encode({"extension": found[0]} if alias else {ROOT: found})


def shown(extension: Extension) -> dict[str, object]:
    """An extension as responses show it."""
    return {
        "alias": extension.alias,
        "name": extension.name,
        "description": extension.description,
        "updated": extension.updated,
        "attributes": [
            {"resource": name_of(resource), "name": name, "values": values}
            for resource in RESOURCES
            for name, values in _parts(extension, resource)
        ],
    }


def _parts(extension: Extension, resource: type[Resource]) -> Iterator[tuple[str, list[str]]]:
    """Key of an attribute, and which of its values are new; none of them: the attribute itself is."""
    for field, attribute in attributes(resource).items():
        words = [
            str(word)
            for word in extension.words
            if isinstance(attribute.kind, kinds.Choice) and attribute.kind.words is type(word)
        ]
        whole = resource.extension is extension and attribute.create is not Use.NEVER
        if words or whole or attribute.extension is extension:
            yield wire_name(field, attribute), words
    for key, one in EXTENDED_CHILDREN.get(resource, {}).items():
        if one is extension:
            yield key, []
