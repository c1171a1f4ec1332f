"""Requests made of the field tables: what is of the right type, and what may stand where a value is never looked at."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hypothesis import strategies as st

from entrypoints.http import content, native
from entrypoints.http.fields import Fate, Field, Table
from entrypoints.http.routes import TABLE, Inference

Values = st.SearchStrategy[Any]
JUNK: Values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


def _all(tables: list[Table]) -> Iterator[Table]:
    for table in tables:
        yield table
        yield from _all([inner for field in table.fields for inner in field.rule.inside])


ROOTS = [route.fields for _, route in TABLE.values() if isinstance(route, Inference)]
BY_REF: Mapping[str, Table] = {table.schema["$ref"]: table for table in _all([*ROOTS, native.SHOW])}
"""Every table there is, by how schemas name it."""


def requests(table: Table) -> Values:
    """Objects that follow a table: fields given or not, null where that is allowed, junk where nobody looks."""
    required = {field.name: values(field.rule.schema) for field in table.fields if field.required}
    others = {field.name: _of(field) for field in table.fields if not field.required}
    return st.fixed_dictionaries(required, optional={**others, "x_unknown": JUNK})


def _of(field: Field) -> Values:
    return JUNK if field.fate is Fate.DROP else st.none() | values(field.rule.schema)


def values(schema: Mapping[str, Any]) -> Values:
    """Values that follow a schema, as far as the tables use JSON Schema.

    Raises:
        LookupError: a schema of another kind.
    """
    if "$ref" in schema:
        tags = st.fixed_dictionaries({name: values(tag) for name, tag in schema.get("properties", {}).items()})
        return st.builds(operator.or_, tags, st.deferred(lambda: requests(BY_REF[schema["$ref"]])))
    if "anyOf" in schema:
        return st.one_of(*map(values, schema["anyOf"]))
    if "const" in schema or "enum" in schema:
        return st.sampled_from(schema.get("enum") or [schema["const"]])
    return _BY_TYPE[schema["type"]](schema)


def _text(schema: Mapping[str, Any]) -> Values:
    least = schema.get("minLength", 0)
    by_pattern = {content.image.schema["pattern"]: ["aGk=", "aGkh"]}
    if "pattern" in schema:
        return st.sampled_from(by_pattern.get(schema["pattern"], ["data:image/png;base64,aGk="]))
    return st.text(min_size=least, max_size=least + 4)


def _list(schema: Mapping[str, Any]) -> Values:
    least = schema.get("minItems", 0)
    return st.lists(values(schema["items"]), min_size=least, max_size=min(schema["maxItems"], least + 2))


_BY_TYPE: Mapping[str, Callable[[Mapping[str, Any]], Values]] = {
    "boolean": lambda _: st.booleans(),
    "integer": lambda schema: st.integers(schema["minimum"], schema["maximum"]),
    "number": lambda schema: st.floats(schema["minimum"], schema["maximum"]),
    "array": _list,
    "object": lambda _: st.dictionaries(st.text(max_size=3), JUNK, max_size=2),
    "string": _text,
}
