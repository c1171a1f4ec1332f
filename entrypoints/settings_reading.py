"""From texts to values: where a variable's text comes from, and how it becomes what its setting is.

    files, environment -> one text per variable -> a value of the setting's type -> its own check

Every problem continues the sentence "NAME ...", and all are told together.
"""

from __future__ import annotations

import ipaddress
import operator
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, get_type_hints

import attrs
import cattrs

from domain.keys import Secret
from entrypoints import env_file
from entrypoints.backend_list import BackendSettings, read_backends

NOT_REPEATED = "not_repeated"
"""In a setting's metadata: its value is never repeated in a complaint."""
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def means(sentence: str, *, may_be_secret: bool = False) -> Mapping[str, object]:
    """What a setting is for, with its unit; for `.env.example` and the README."""
    return {"meaning": sentence, NOT_REPEATED: may_be_secret}


def merged(environ: Mapping[str, str], *files: Path | None) -> dict[str, str]:
    """All variables that are set and not empty; the environment before the files, an earlier file before a later."""
    layers: list[Mapping[str, str]] = [environ, *(env_file.read(file) for file in files if file is not None)]
    return {name: value for layer in reversed(layers) for name, value in layer.items() if value.strip()}


def read_values(kind: type[attrs.AttrsInstance], texts: Mapping[str, str]) -> tuple[dict[str, Any], Sequence[str]]:
    """The values that are set and right, and a sentence for each that is wrong.

    Args:
        kind: an attrs class with one attribute per variable, named in lower case.
        texts: what is set.
    """
    problems: list[str] = []
    values: dict[str, Any] = {}
    types = get_type_hints(kind)
    for field in attrs.fields(kind):
        text = texts.get(field.name.upper())
        if text is None:
            continue
        try:
            values[field.name] = _value(field, types[field.name], text)
        except ValueError as error:
            problems.append(_problem(field, text, error))
    return values, problems


def as_text(default: Any) -> str:
    """A default as it would stand in the environment; empty when there is none."""
    if default is None or default == ():
        return ""
    return f"{default:g}" if isinstance(default, float) else str(default)


def _value(field: attrs.Attribute[Any], kind: Any, text: str) -> Any:
    value = _CONVERTER.structure(text.strip(), kind)
    if field.validator is not None:
        field.validator(None, field, value)
    return value


def _problem(field: attrs.Attribute[Any], text: str, error: ValueError) -> str:
    shown = "" if field.metadata.get(NOT_REPEATED) else f", and is {text!r}"
    default = as_text(field.default)
    return f"{field.name.upper()} {error}{shown}{f' (default: {default})' if default else ''}."


def _whole_number(text: str, _type: Any) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("must be a whole number") from None


def _number(text: str, _type: Any) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError("must be a number") from None


def _ring(text: str, _type: Any) -> tuple[Secret, ...]:
    return tuple(Secret(part.strip()) for part in text.split(","))


def _networks(text: str, _type: Any) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise ValueError(f"must be networks such as 10.0.0.0/8, comma separated: {error}") from None


def _word(text: str, kind: type[StrEnum]) -> StrEnum:
    try:
        return kind(text.lower())
    except ValueError:
        raise ValueError(f"must be {' or '.join(kind)}") from None


def _converter() -> cattrs.Converter:
    converter = cattrs.Converter()
    converter.register_structure_hook(int, _whole_number)
    converter.register_structure_hook(float, _number)
    converter.register_structure_hook(Secret, lambda text, _type: Secret(text))
    converter.register_structure_hook(StrEnum, _word)
    lists: list[tuple[object, Callable[[str, Any], object]]] = [
        (tuple[Secret, ...], _ring),
        (tuple[Network, ...], _networks),
        (tuple[BackendSettings, ...], lambda text, _type: read_backends(text)),
    ]
    for kind, hook in lists:
        converter.register_structure_hook_func(partial(operator.eq, kind), hook)
    return converter


_CONVERTER = _converter()
