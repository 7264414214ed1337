"""The document as a page to read (docs/reference/api.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hydria.api.openapi.other_services import TAGS

# Parameters that every list has; the page explains them once.
_OF_LISTS = frozenset(
    {"fields", "limit", "marker", "page_reverse", "sort", "sort_key", "sort_dir",
     "tags", "tags-any", "not-tags", "not-tags-any"}
)  # fmt: skip
_ANYWHERE = frozenset({"401", "403", "404", "406", "413", "415", "500", "503"})

OTHERS = frozenset(TAGS.values())  # what these have, their own documentation says
SERVICE = "Service"  # the heading of what belongs to no resource
Document = Mapping[str, Any]


def page(document: Document) -> Iterator[str]:
    """The page in Markdown, line by line."""
    yield "# REST API\n\nMade by `make docs` from the OpenAPI 3.1 document that each API controller serves\n"
    yield "at `/openapi.json`; that one has all schemas, and what the deployment has switched on.\n"
    yield f"\n{document['info']['description']}"
    yield from _lists(document)
    yield from _errors(document)
    tags = dict.fromkeys(operation["tags"][0] for _, _, operation in _operations(document))
    for tag in sorted(tags, key=OTHERS.__contains__):
        yield from _section(document, tag)


def _section(document: Document, tag: str) -> Iterator[str]:
    yield f"\n## {tag}\n\n"
    if tag not in (SERVICE, *OTHERS):
        yield f"Attributes: [{tag}](attributes.md#{tag.lower().replace(' ', '-')}).\n\n"
    yield "| Request | | Answer | Errors of its own | Query |\n|---|---|---|---|---|\n"
    filters: list[str] = []
    for method, path, operation in _operations(document):
        if operation["tags"] != [tag]:
            continue
        codes = operation["responses"]
        good = ", ".join(code for code in codes if code < "400")
        bad = ", ".join(code for code in codes if code >= "400" and code not in _ANYWHERE)
        query = [each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"]
        if "sort" in query and tag not in OTHERS:
            filters = [name for name in query if name not in _OF_LISTS]
            query = ["filters, order, page, fields"]
        else:
            query = [f"`{name}`" for name in query]
        what = operation["summary"].removeprefix(f"{tag}: ")
        yield f"| `{method.upper()} {path}` | {what} | {good} | {bad} | {', '.join(query)} |\n"
    if filters:
        yield f"\nFilters and sort keys: {', '.join(f'`{name}`' for name in filters)}.\n"


def _lists(document: Document) -> Iterator[str]:
    yield "\n## Lists\n\n| Parameter | Meaning |\n|---|---|\n"
    seen: set[str] = set()
    for _, _, operation in _operations(document):
        for each in operation.get("parameters", ()) if operation["tags"][0] not in OTHERS else ():
            if each["name"] in _OF_LISTS - {"fields"} - seen:
                seen.add(each["name"])
                yield f"| `{each['name']}` | {each['description']} |\n"
    yield "| `fields` | Answer with these keys alone; may be repeated, or a list with commas. |\n"
    yield "| any other | A filter: only objects with exactly this value; see below which there are. |\n"


def _errors(document: Document) -> Iterator[str]:
    yield "\n## Errors\n\nOf a request that was understood:\n"
    yield '`{"faultcode": "Client" or "Server", "faultstring": "…", "debuginfo": null}`.\n'
    yield "Of one that reached no object, also because the pool or policy in its path is unknown:\n"
    yield '`{"code": 404, "title": "…", "description": "…"}`. With 503 comes `Retry-After`, in seconds.\n\n'
    yield 'Below `/network` refusals have Neutron\'s shape, `{"NeutronError": {"type": "…", "message": "…",'
    yield ' "detail": ""}}`, below `/key-manager` all are of the second one.\n\n'
    yield "| Status | Meaning |\n|---|---|\n"
    said: dict[str, str] = {}
    for _, path, operation in _operations(document):
        for code, response in operation["responses"].items():
            if code >= "400" and "healthcheck" not in path:
                said.setdefault(code, response["description"])
    for code in sorted(said):
        everywhere = " Of any request." if code in _ANYWHERE else ""
        yield f"| {code} | {said[code]}{everywhere} |\n"


def _operations(document: Document) -> Iterator[tuple[str, str, Any]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                yield method, path, operation
