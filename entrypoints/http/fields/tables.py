"""Tables: of each object in a request, every field that is known, and what becomes of it.

Readers, the upstream body, `docs/fields.md` and the OpenAPI document are all made from them. A field that is in no
table is dropped; `null` always means "not given".
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from enum import Enum
from functools import cached_property
from typing import Any, Final

import attrs

from domain.refusals import Code, Refusal
from entrypoints.http.fields.rules import DROPPED, Read, Rule, rule, wrong


class Fate(Enum):
    """What becomes of a field."""

    KEEP = "kept"
    """Goes upstream as it was given."""
    REWRITE = "rewritten"
    """Goes upstream in another form, or as something of ours."""
    DROP = "dropped"
    """Never goes upstream, whatever its value."""
    REFUSE = "refused"
    """A 400, unless its value asks for nothing: then it is dropped."""


@attrs.frozen
class Field:
    """One row.

    Raises:
        ValueError: a fate other than `KEEP` without a reason, or a row without a source.
    """

    name: str
    rule: Rule
    fate: Fate
    source: str
    """Where Ollama reads it, as `api/types.go ChatRequest.Messages`; or whose field it is, where Ollama does not."""
    reason: str = ""
    """Why it is not simply kept."""
    required: bool = False
    """Whether its rule is asked even if nothing is given, and then says in its own words what is missing."""

    def __attrs_post_init__(self) -> None:
        """Holds the rows to being complete."""
        if not self.source or (self.fate is not Fate.KEEP and not self.reason):
            raise ValueError(f"the row of `{self.name}` needs a source and, unless kept, a reason")


@rule({}, "anything")
def _anything(_value: Any, _path: str) -> Any:
    return DROPPED


def keep(name: str, of: Rule, source: str, *, required: bool = False) -> Field:
    """A field that goes upstream as it was given."""
    return Field(name, of, Fate.KEEP, source, required=required)


def rewrite(name: str, of: Rule, source: str, *, because: str, required: bool = False) -> Field:
    """A field that is read and goes upstream in another form: `because` says which."""
    return Field(name, of, Fate.REWRITE, source, because, required=required)


def drop(name: str, source: str, *, because: str) -> Field:
    """A field that is known and not for the backend: its value is not even looked at."""
    return Field(name, _anything, Fate.DROP, source, because)


def refuse(name: str, source: str, *, unless: Sequence[Any], must: str, because: str) -> Field:
    """A field that asks for what cannot be had, where dropping it would give a wrong answer quietly.

    Args:
        name: the field.
        source: as of every row.
        unless: the values that ask for nothing; they are dropped.
        must: the sentence's end, after "must be".
        because: why it cannot be had.
    """

    def read(value: Any, path: str) -> Any:
        if value not in unless:
            raise wrong(path, must)
        return DROPPED

    return Field(name, Rule(read, {"enum": list(unless)}, must), Fate.REFUSE, source, because)


@attrs.frozen(eq=False)
class Table:
    """The rows of one object.

    Raises:
        ValueError: two rows for one field.
    """

    name: str
    """Its name in the OpenAPI document, as `NativeMessage`."""
    fields: Sequence[Field]
    any_case: bool = attrs.field(default=True, kw_only=True)
    """Whether Ollama takes its fields in upper case as well; then only in lower case may they be sent."""
    reads: Mapping[str, Read] = attrs.field(init=False, repr=False)
    """How each field that is not dropped is read."""
    required: Sequence[tuple[str, Read]] = attrs.field(init=False, repr=False)

    @reads.default
    def _reads(self) -> Mapping[str, Read]:
        if len({field.name for field in self.fields}) < len(self.fields):
            raise ValueError(f"a field of {self.name} has two rows")
        return {field.name: field.rule.read for field in self.fields if field.fate is not Fate.DROP}

    @required.default
    def _required(self) -> Sequence[tuple[str, Read]]:
        return [(field.name, field.rule.read) for field in self.fields if field.required]

    @cached_property
    def names(self) -> frozenset[str]:
        """Every field that is known, those that are dropped as well."""
        return frozenset(field.name for field in self.fields)

    @property
    def schema(self) -> Mapping[str, Any]:
        """Where the OpenAPI document has its schema."""
        return {"$ref": f"#/components/schemas/{self.name}", "type": "object"}


def require_spelling(name: str, known: Collection[str], path: str) -> None:
    """Refuses a known field in another spelling, such as `Stream`: we would take it for unknown, and Ollama for the
    field (Go's `encoding/json` folds upper and lower case, U+017F and U+212A).

    Args:
        name: as it was given, and not known.
        known: the fields of the object, in lower case.
        path: of the object in the body; empty for the body itself.
    """
    meant = name.casefold()
    if meant in known:
        field = f"{path}.{meant}" if path else meant
        raise Refusal(Code.INVALID_REQUEST, f"`{field}` must be spelt exactly so, in lower case.", param=field)


def apply(fields: Table, value: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """What of an object may go upstream. Goes through what was given, not through the table: that is the shorter."""
    kept = {}
    reads = fields.reads
    for name, given in value.items():
        read = reads.get(name)
        if read is None:  # no row, or a row that drops it
            if fields.any_case and name not in fields.names:
                require_spelling(name, fields.names, path)
            continue
        if given is not None:
            result = read(given, f"{path}.{name}" if path else name)
            if result is not DROPPED:
                kept[name] = result
    for name, read in fields.required:
        if name not in kept:
            read(value.get(name), f"{path}.{name}" if path else name)
    return kept


def table(fields: Table) -> Rule:
    """An object that is cut to a table."""

    def read(value: Any, path: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise wrong(path, "an object")
        return apply(fields, value, path)

    return Rule(read, fields.schema, "an object", (fields,))


def tagged(tables: Mapping[str, Table], *, tag: str = "type", absent: str | None = None, but: str = "") -> Rule:
    """An object of one of several kinds, told apart by a tag; the tag goes upstream with it.

    Args:
        tables: of each tag the table; the tag itself has no row.
        tag: the name of the field that tells the kind.
        absent: the kind of an object without a tag; None if every object must have one.
        but: what to say of other kinds, as "web addresses are not fetched".
    """
    *others, last = tables
    words = (", ".join(others) + " or " if others else "") + last + (f"; {but}" if but else "")

    def read(value: Any, path: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise wrong(path, "an object")
        for name in value.keys() - {tag}:
            require_spelling(name, (tag,), path)
        given = value.get(tag)
        kind = absent if given is None else given
        fields = tables.get(kind) if isinstance(kind, str) else None
        if fields is None:
            raise wrong(f"{path}.{tag}", words)
        return {tag: kind, **apply(fields, value, path)}

    told = f"an object whose `{tag}` is {words}"
    return Rule(read, _tagged_schema(tables, tag, absent), told, tuple(tables.values()))


def _tagged_schema(tables: Mapping[str, Table], tag: str, absent: str | None) -> Mapping[str, Any]:
    kinds = [
        {
            "properties": {tag: {"const": kind} if kind != absent else {"enum": [kind, None]}},
            "required": [] if kind == absent else [tag],
            "$ref": fields.schema["$ref"],
        }
        for kind, fields in tables.items()
    ]
    return {"type": "object", "anyOf": kinds}


EMPTY: Final[Sequence[Any]] = ("", [], {}, False)
"""What clients send for "nothing", besides null."""
