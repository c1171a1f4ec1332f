"""`docs/fields.md`, made from the field tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from entrypoints.http import native
from entrypoints.http.fields import Fate, Field, Rule, Table
from entrypoints.http.routes import TABLE, Inference, Look

FIELDS = Path(__file__).resolve().parents[2] / "docs" / "fields.md"

_HEAD = """\
# Fields
Made from the code by `python -m tests.docs`: the tables that requests are read by, and upstream bodies are made from.

What a backend gets is never a caller's body but one made anew of these fields:

- **kept**: goes upstream as it was given. Within an object or a list, each field has its own fate.
- **rewritten**: goes upstream in another form, or as something of the gateway's.
- **dropped**: never goes upstream. Its value is not looked at, so it may be of any type.
- **refused**: a 400, unless the value asks for nothing.

A field that is not listed is dropped; one of the wrong type is a 400 that names it by its path, as in
`messages[2].content`. A listed field in another spelling (`Stream`, `MODEL`) is a 400 as well, because Ollama would
take it for the field; in `options` it is dropped, as Ollama does. `null` means "not given" everywhere. `[]` behind a
name means "of each item", `<text>` "if its `type` is that". The source is Ollama's, at v0.33, or the reference of
whose field it is.
"""


def fields() -> str:
    """The document."""
    routes = [route for _, route in TABLE.values() if isinstance(route, Inference)]
    sections = [_section(route.endpoint.value, route.fields) for route in routes]
    return "\n".join([_HEAD, *sections, _section(Look.SHOW.value, native.SHOW)])


def _section(path: str, table: Table) -> str:
    lines = ["| field | type | what becomes of it | must be | source |", "|---|---|---|---|---|"]
    return "\n".join([f"## `{path}`", *lines, *(_row(*found) for found in _rows(table)), ""])


def _rows(table: Table, before: str = "") -> Iterator[tuple[str, Field]]:
    for field in table.fields:
        path = f"{before}{field.name}"
        yield path, field
        yield from _inside(field.rule, path)


def _inside(rule: Rule, path: str) -> Iterator[tuple[str, Field]]:
    """The rows of the tables in a value: those of a kind that has a tag behind the tag's value."""
    for table in rule.inside:
        yield from _rows(table, f"{path}{_step(rule.schema, table)}.")


def _step(schema: Mapping[str, Any], table: Table) -> str:
    """How one comes from a value to the object of a table: `[]` for a list, the kind in angles after that."""
    found = _find(schema, table.schema["$ref"])
    if found is None:
        raise LookupError(f"{table.name} is not in the schema of its field")
    return "".join(found)


def _find(schema: Mapping[str, Any], ref: str) -> Sequence[str] | None:
    if schema.get("$ref") == ref:
        return [_kind(schema)]
    if "items" in schema:
        found = _find(schema["items"], ref)
        return None if found is None else ["[]", *found]
    return next(filter(None, (_find(one, ref) for one in schema.get("anyOf", ()))), None)


def _kind(schema: Mapping[str, Any]) -> str:
    for tag in schema.get("properties", {}).values():
        return f"<{tag.get('const') or tag['enum'][0]}>"
    return ""


def _row(path: str, field: Field) -> str:
    fate = f"{field.fate.value}: {field.reason}" if field.reason else field.fate.value
    needed = " **required**" if field.required else ""
    must = "" if field.fate is Fate.DROP else field.rule.words
    return f"| `{path}`{needed} | {_type(field)} | {_cell(fate)} | {_cell(must)} | {field.source} |"


def _type(field: Field) -> str:
    if field.fate is Fate.DROP:
        return "any"
    return " or ".join(dict.fromkeys(_types(field.rule.schema))) or "any"


def _types(schema: Mapping[str, Any]) -> Iterator[str]:
    if "const" in schema:
        yield "string"
    elif schema.get("type") == "array":
        yield "list"
    elif isinstance(schema.get("type"), str):
        yield schema["type"]
    else:
        for one in schema.get("anyOf", ()):
            yield from _types(one)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
