"""Schemas of requests, from the field tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from entrypoints.http.fields import Fate, Field, Table

Json = dict[str, Any]


def request_schemas(tables: Iterable[Table]) -> Json:
    """Of each table, and of every table inside it, the schema by its name.

    Raises:
        ValueError: two tables have one name.
    """
    found: dict[str, Table] = {}
    for table in _all(tables):
        if found.setdefault(table.name, table) is not table:
            raise ValueError(f"two tables are named {table.name}")
    return {name: _schema_of(table) for name, table in sorted(found.items())}


def _all(tables: Iterable[Table]) -> Iterator[Table]:
    for table in tables:
        yield table
        yield from _all(inner for field in table.fields for inner in field.rule.inside)


def _schema_of(table: Table) -> Json:
    schema: Json = {"type": "object", "properties": {field.name: _property_of(field) for field in table.fields}}
    required = [field.name for field in table.fields if field.required]
    return schema | {"required": required} if required else schema


def _property_of(field: Field) -> Json:
    must = "" if field.fate is Fate.DROP else f"Must be {field.rule.words}."
    fate = f"{field.fate.value.capitalize()}: {field.reason}." if field.reason else ""
    schema: Json = _plain(field.rule.schema)
    if field.fate is not Fate.DROP and not field.required:
        schema = _or_null(schema)
    return schema | {"description": f"{must} {fate}".strip()}


def _plain(schema: Any) -> Any:
    # Beside a `$ref` the document needs no word about the type.
    if isinstance(schema, Mapping):
        left_out = {"type"} if "$ref" in schema else set()
        return {name: _plain(inner) for name, inner in schema.items() if name not in left_out}
    return [_plain(inner) for inner in schema] if isinstance(schema, list) else schema


def _or_null(schema: Json) -> Json:
    """`null` is "not given", everywhere."""
    if isinstance(schema.get("type"), str) and not schema.keys() & {"enum", "const", "anyOf"}:
        return schema | {"type": [schema["type"], "null"]}
    if "anyOf" in schema:
        return {"anyOf": [*schema["anyOf"], {"type": "null"}]}
    if "enum" in schema:
        untyped = {name: inner for name, inner in schema.items() if name != "type"}
        return untyped | {"enum": [*schema["enum"], None]}
    return {"anyOf": [schema, {"type": "null"}]}
