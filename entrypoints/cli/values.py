"""What the values of options may be, with errors that say what to write instead."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Final, Literal

import rich_click as click

from domain.models import canonical
from domain.refusals import Refusal

MOST_AMOUNT = 2**53 - 1
"""The largest whole number that Redis's Lua, whose numbers are doubles, counts without loss."""
_LONGEST_NAME = 100
_PREFIX = re.compile(r"nz_[0-9A-Za-z]{8}", re.ASCII)
_PREFIX_LENGTH = 11
_SPAN = re.compile(r"([1-9][0-9]{0,5})([smhdw])", re.ASCII)
_REQUEST_ID = re.compile(r"(?:[a-z]+[_-])?([0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12})", re.ASCII)
_LONGEST_SPAN = timedelta(days=36_525)
_YEARS = range(1900, 3000)
"""Times that differ by no more than these can be added and subtracted without leaving the calendar."""
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class NoLimit(Enum):
    """What `none` says: take the limit away. (None says that the option was not given.)"""

    NO_LIMIT = "none"


NO_LIMIT: Final = NoLimit.NO_LIMIT
Amount = int | Literal[NoLimit.NO_LIMIT]


class AmountType(click.ParamType[Amount]):
    """A positive whole number, or `none`."""

    name = "N|none"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Amount:
        """The number, or NO_LIMIT."""
        text = str(value)
        if text.lower() == "none":
            return NO_LIMIT
        digits = text.replace("_", "").replace(",", "")
        if not (digits.isascii() and digits.isdigit() and 0 < int(digits[:20]) <= MOST_AMOUNT):
            self.fail(f"{text!r} is not a positive whole number up to {MOST_AMOUNT:,}; or write none", param, ctx)
        return int(digits)


class PrefixType(click.ParamType[str]):
    """A key's public prefix."""

    name = "PREFIX"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The prefix. Never repeats what may be a whole key."""
        text = str(value)
        if _PREFIX.fullmatch(text):
            return text
        complaint = "a key's prefix is nz_ and 8 letters or digits, as nz_abc12345; see `list-keys`"
        if _PREFIX.match(text):
            complaint = (
                f"that is more than a prefix: give {text[:_PREFIX_LENGTH]} only. A whole key on a command line stays "
                "in the shell's history, so consider `rotate-key`"
            )
        return self.fail(complaint, param, ctx)


class NameType(click.ParamType[str]):
    """A name that people give: printable, and the same however it is looked at."""

    name = "NAME"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name as given."""
        text = str(value)
        if not text.isprintable() or text != text.strip() or not 0 < len(text) <= _LONGEST_NAME:
            self.fail(f"a name is 1 to {_LONGEST_NAME} printable characters without blanks at its ends", param, ctx)
        return text


class ModelType(click.ParamType[str]):
    """A model's name, in any spelling of Ollama's."""

    name = "NAME"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Its canonical form."""
        try:
            return canonical(str(value).strip())
        except Refusal as refusal:
            self.fail(f"{str(value)!r}: {refusal.sentence}", param, ctx)


class WhenType(click.ParamType["datetime | timedelta"]):
    """A point in time, UTC unless it says otherwise, or a span from now."""

    name = "WHEN"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime | timedelta:
        """Aware time or span."""
        if isinstance(value, datetime | timedelta):
            return value
        text = str(value).strip()
        span = _SPAN.fullmatch(text)
        if span is not None:
            found = timedelta(**{_UNITS[span[2]]: int(span[1])})
            return found if found <= _LONGEST_SPAN else self.fail(f"{text!r} is more than a hundred years", param, ctx)
        try:
            when = datetime.fromisoformat(text)
        except ValueError:
            self.fail(f"{text!r} is not a time; write 2027-01-31, 2027-01-31T18:00, 30d or 12h", param, ctx)
        if when.year not in _YEARS:
            self.fail(f"{text!r} is not within the years {_YEARS[0]} to {_YEARS[-1]}", param, ctx)
        return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)


class SpanType(click.ParamType[timedelta]):
    """A span of time within bounds."""

    name = "SPAN"

    def __init__(self, shortest: timedelta, longest: timedelta) -> None:
        self._shortest = shortest
        self._longest = longest

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """The span."""
        if isinstance(value, timedelta):
            return value
        text = str(value).strip()
        span = _SPAN.fullmatch(text)
        if span is None:
            self.fail(f"{text!r} is not a span of time; write 12h, 30d or 4w", param, ctx)
        found = timedelta(**{_UNITS[span[2]]: int(span[1])})
        if not self._shortest <= found <= self._longest:
            bounds = f"{self._shortest // timedelta(hours=1)}h to {self._longest // timedelta(days=1)}d"
            self.fail(f"{text!r} is not within {bounds}", param, ctx)
        return found


def expiry(when: datetime | timedelta | None, now: datetime) -> datetime | None:
    """The instant that WHEN names, as seen from now."""
    return now + when if isinstance(when, timedelta) else when


def as_of(when: datetime | timedelta | None, now: datetime) -> datetime | None:
    """The instant that WHEN names, looking back from now."""
    return now - when if isinstance(when, timedelta) else when


class RequestIdType(click.ParamType[str]):
    """The id of a request, as the header x-request-id has it, or as it stands in an answer or in the audit."""

    name = "ID"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """32 lower-case hex digits."""
        found = _REQUEST_ID.fullmatch(str(value).strip().lower())
        if found is None:
            self.fail("a request id is 32 hex digits, as the answer's header x-request-id has it", param, ctx)
        return found[1].replace("-", "")
