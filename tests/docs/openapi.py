"""`docs/openapi.json` and `docs/api.html`: the OpenAPI document as the gateway serves it, and as a page."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

from entrypoints.http.openapi import document

_DOCS = Path(__file__).resolve().parents[2] / "docs"
OPENAPI = _DOCS / "openapi.json"
API_PAGE = _DOCS / "api.html"
Json = Mapping[str, Any]
_STYLE = """
:root { --ink: #1d2733; --soft: #5a6875; --paper: #fff; --line: #dde3e9; --shade: #f5f7f9; --mark: #0b62b0; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e3e9ef; --soft: #9aa8b5; --paper: #14191f; --line: #2c3640; --shade: #1b222a; --mark: #6db3f2; }
}
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: var(--paper); font: 16px/1.5 system-ui, sans-serif; }
main, header { max-width: 60rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 2rem; }
h1 { margin: 0; font-size: 1.9rem; }
h2 { margin: 3rem 0 .5rem; padding-bottom: .25rem; border-bottom: 2px solid var(--line); font-size: 1.4rem; }
h3 { margin: 2.25rem 0 .25rem; font: 600 1.1rem/1.4 ui-monospace, monospace; overflow-wrap: anywhere; }
h4 { margin: 1rem 0 .25rem; font-size: .95rem; }
p { margin: .4rem 0; max-width: 46rem; }
a { color: var(--mark); text-decoration: none; }
a:hover { text-decoration: underline; }
code, pre { font-family: ui-monospace, monospace; font-size: .875em; }
code { overflow-wrap: anywhere; }
pre { margin: .25rem 0; padding: .75rem 1rem; overflow-x: auto; border-radius: 6px; background: var(--shade); }
nav ul { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); margin: .5rem 0; padding: 0; }
nav li { list-style: none; padding: .1rem 0; }
.method { color: var(--mark); font-weight: 700; }
.soft { color: var(--soft); }
.wide { overflow-x: auto; }
table { width: 100%; border-collapse: collapse; font-size: .925rem; }
th, td { padding: .4rem .75rem .4rem 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
th { color: var(--soft); font-weight: 600; }
td:first-child code { overflow-wrap: normal; }
@media (max-width: 40rem) {
  tr { display: block; padding: .4rem 0; border-bottom: 1px solid var(--line); }
  td { display: block; padding: 0; border: 0; }
  th { display: none; }
}
summary { margin-top: 1rem; cursor: pointer; font-weight: 600; font-size: .95rem; }
"""


def openapi() -> str:
    """The document as JSON."""
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


def api_page() -> str:
    """The document as a page that needs nothing else."""
    about = document()["info"]
    operations = [
        (path, method, operation)
        for path, methods in document()["paths"].items()
        for method, operation in methods.items()
        if method != "head"
    ]
    groups = [tag["name"] for tag in document()["tags"]]
    sections = [
        f"<h2>{group}</h2>\n" + "".join(_operation(*found) for found in operations if group in found[2]["tags"])
        for group in groups
    ]
    links = "".join(f'<li><a href="#{_anchor(m, p)}">{_title(m, p)}</a></li>\n' for p, m, _ in operations)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(about['title'])}: API</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<header><h1>{escape(about['title'])}</h1>\n<p>{_prose(about['description'])}</p>\n"
        "<p>Send your key as <code>Authorization: Bearer nz_...</code> or as <code>x-api-key: nz_...</code>. The same "
        'as JSON: <a href="openapi.json">openapi.json</a>, served at <code>/openapi.json</code>.</p>\n'
        f"<nav><ul>\n{links}</ul></nav></header>\n<main>\n{''.join(sections)}</main>\n</body>\n</html>\n"
    )


def _operation(path: str, method: str, operation: Json) -> str:
    parts = [f'<h3 id="{_anchor(method, path)}">{_title(method, path)}</h3>\n<p>{_prose(operation["summary"])}.</p>\n']
    if "description" in operation:
        parts.append(f"<p>{_prose(operation['description'])}</p>\n")
    if operation.get("security") == []:
        parts.append('<p class="soft">Needs no key.</p>\n')
    if "requestBody" in operation:
        media = operation["requestBody"]["content"]["application/json"]
        rows = "".join(_field(*row) for row in _fields(media["schema"]))
        parts.append(f"<h4>Request</h4>\n{_json(media['example'])}")
        parts.append(f"<details><summary>Fields</summary>\n{_table(('field', 'type', ''), rows)}</details>\n")
    success = operation["responses"]["200"]["content"]
    parts.append(f'<h4>Answer</h4>\n<p class="soft">{escape(" or ".join(success))}</p>\n')
    if "example" in success["application/json"]:
        parts.append(_json(success["application/json"]["example"]))
    refused = "".join(_response(*found) for found in operation["responses"].items() if found[0] != "200")
    parts.append(f"<details><summary>Refusals and failures</summary>\n{_table(('status', ''), refused)}</details>\n")
    return "".join(parts)


def _fields(schema: Json, before: str = "") -> Iterator[tuple[str, Json, bool]]:
    """Every field of an object by its path, down to the last, and whether it must be given."""
    whole = _resolved(schema)
    for name, inner in whole.get("properties", {}).items():
        path = f"{before}{name}"
        yield path, inner, name in whole.get("required", ())
        for kind, deeper in _objects(inner):
            yield from _fields(deeper, f"{path}{kind}.")


def _objects(schema: Json) -> Iterator[tuple[str, Json]]:
    """The objects in a value that have fields of their own, and how one comes to them."""
    if "$ref" in schema:
        tags = [tag.get("const") or tag["enum"][0] for tag in schema.get("properties", {}).values()]
        yield "".join(f"<{tag}>" for tag in tags), _resolved({"$ref": schema["$ref"]})
    elif "items" in schema:
        yield from ((f"[]{kind}", found) for kind, found in _objects(schema["items"]))
    for one in schema.get("anyOf", ()):
        yield from _objects(one)


def _field(path: str, schema: Json, required: bool) -> str:  # noqa: FBT001  a row of three
    kinds = escape(" or ".join(dict.fromkeys(_kinds(schema))) or "anything", quote=False)
    named = re.sub(r"([._\]])", r"\1<wbr>", escape(path))
    needed = ", required" if required else ""
    told = _prose(schema.get("description", ""))
    return f'<tr><td><code>{named}</code></td><td class="soft">{kinds}{needed}</td><td>{told}</td></tr>\n'


def _kinds(schema: Json) -> Iterator[str]:
    if "$ref" in schema:
        yield "object"
    elif "enum" in schema:
        yield from (json.dumps(word) for word in schema["enum"] if word is not None)
    elif "const" in schema:
        yield json.dumps(schema["const"])
    else:
        kinds = schema.get("type", [])
        yield from (kind for kind in ([kinds] if isinstance(kinds, str) else kinds) if kind != "null")
    for one in schema.get("anyOf", ()):
        yield from _kinds(one)


def _response(status: str, response: Json) -> str:
    whole = _resolved(response)
    headers = ", ".join(f"<code>{escape(name)}</code>" for name in whole.get("headers", {}))
    return f'<tr><td>{status}</td><td>{_prose(whole["description"])} <span class="soft">{headers}</span></td></tr>\n'


def _resolved(value: Json) -> Json:
    if "$ref" not in value:
        return value
    found: Any = document()
    for step in value["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return dict(found)


def _table(heads: tuple[str, ...], rows: str) -> str:
    head = "".join(f"<th>{name}</th>" for name in heads)
    return f'<div class="wide"><table>\n<tr>{head}</tr>\n{rows}</table></div>\n'


def _json(value: Any) -> str:
    return f"<pre>{escape(json.dumps(value, indent=2), quote=False)}</pre>\n"


def _prose(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))


def _title(method: str, path: str) -> str:
    return f'<span class="method">{method.upper()}</span> {escape(path)}'


def _anchor(method: str, path: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", f"{method}{path}").strip("-")
