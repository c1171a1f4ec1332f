"""What a single setting's value must be: attrs validators whose errors continue the sentence "NAME ...".

They never repeat the value, which may be secret; the reader of settings shows those that are not.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import attrs

from adapters.ollama.address import BackendAddress
from domain.keys import Secret
from entrypoints.observability.listener import OFF, read_bind

LEAST_PEPPER_LENGTH = 32
HOW_TO_MAKE_A_PEPPER = "make one with `openssl rand -hex 32`"
MOST_LEDGER_TIMEOUT_S = 3.0
"""As long as a statement of the ledger may run in the database (adapters/postgres/lane.py)."""
_MOST_PORT = 65535


def positive(_instance: object, _attribute: attrs.Attribute[Any], value: float) -> None:
    """Above zero, and an end to it."""
    if not 0 < value < math.inf:
        raise ValueError("must be a positive number")


def at_most(most: float, why: str) -> Callable[[object, attrs.Attribute[Any], float], None]:
    """Above zero, and no more than this."""

    def check(_instance: object, _attribute: attrs.Attribute[Any], value: float) -> None:
        if not 0 < value <= most:
            raise ValueError(f"must be above 0 and at most {most:g}, because {why}")

    return check


def not_negative(_instance: object, _attribute: attrs.Attribute[Any], value: float) -> None:
    """Zero is allowed."""
    if not 0 <= value < math.inf:
        raise ValueError("must be zero or a positive number")


def a_port(_instance: object, _attribute: attrs.Attribute[int], value: int) -> None:
    """One that can be listened on by number."""
    if not 0 < value <= _MOST_PORT:
        raise ValueError(f"must be a port, from 1 to {_MOST_PORT}")


def printable(_instance: object, _attribute: attrs.Attribute[str], value: str) -> None:
    """No control characters."""
    if not value.isprintable():
        raise ValueError("must not hold control characters")


def metrics_address(_instance: object, _attribute: attrs.Attribute[str], value: str) -> None:
    """Where to listen for Prometheus, or nowhere."""
    if value != OFF:
        read_bind(value)


def backend_url(_instance: object, _attribute: attrs.Attribute[str], value: str) -> None:
    """As every backend's URL."""
    try:
        BackendAddress(name="default", url=value)
    except ValueError as error:
        raise ValueError(f"is wrong: {error}") from None


def begins_with(*schemes: str) -> Callable[[object, attrs.Attribute[Secret | None], Secret | None], None]:
    """A URL of one of these schemes."""

    def check(_instance: object, _attribute: attrs.Attribute[Secret | None], value: Secret | None) -> None:
        if value is not None and not value.unwrap().startswith(schemes):
            raise ValueError(f"must begin with {' or '.join(schemes)}")

    return check


def long_enough(_instance: object, _attribute: attrs.Attribute[tuple[Secret, ...]], value: tuple[Secret, ...]) -> None:
    """Each pepper too long to be guessed."""
    if any(len(pepper.unwrap()) < LEAST_PEPPER_LENGTH for pepper in value):
        raise ValueError(
            f"must have at least {LEAST_PEPPER_LENGTH} characters in each of its values: {HOW_TO_MAKE_A_PEPPER}"
        )
