"""Tracebacks that tell where and what kind, never in the error's own words.

Libraries put into an error's text what they were given: a value that cannot be encoded, the row that breaks a
constraint, the URL that cannot be reached. That may be a prompt, an answer or a password, and nobody has looked at it.
So kinds, files, lines and functions are shown, and of a text only how long it is. Local variables are not shown either.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import ExcInfo

_transform = ExceptionDictTransformer(show_locals=False)


def as_objects(exc_info: ExcInfo) -> list[dict[str, Any]]:
    """The chain of errors for a JSON line, the last one first."""
    return [_withheld(trace) for trace in _transform(exc_info)]


def as_text(exc_info: ExcInfo) -> str:
    """The same for a person, the last one first."""
    return "\n".join(_lines(as_objects(exc_info)))


def of(error: BaseException) -> str:
    """The text of an error that was caught."""
    return as_text((type(error), error, error.__traceback__))


def _withheld(trace: Mapping[str, Any]) -> dict[str, Any]:
    hidden: Mapping[str, Any] = {
        "exc_value": f"withheld ({len(trace['exc_value'])} characters)",
        "exc_notes": [],
        "syntax_error": None,
    }
    return {**trace, **hidden, "exceptions": [[_withheld(one) for one in inner] for inner in trace["exceptions"]]}


def _lines(traces: Sequence[Mapping[str, Any]], margin: str = "") -> Iterator[str]:
    for trace in traces:
        yield f"{margin}{trace['exc_type']}: {trace['exc_value']}"
        for frame in trace["frames"]:
            yield f"{margin}  {frame['filename']}:{frame['lineno']} in {frame['name']}"
        for inner in trace["exceptions"]:
            yield from _lines(inner, f"{margin}  ")
