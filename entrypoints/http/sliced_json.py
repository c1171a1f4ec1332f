"""A reader for long JSON texts that never does much at once (see `slices`), and counts what it reads.

It says of every text what `json.JSONDecoder` with the same hooks says; the tests hold the two against each other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final, NoReturn

from entrypoints.http.slices import SLICE, bounds_of

_SPACE: Final = re.compile(r"[ \t\n\r]*")
_NUMBER: Final = re.compile(r"(-?(?:0|[1-9][0-9]*))((?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)")
_WORDS: Final = {"t": ("true", True), "f": ("false", False), "n": ("null", None)}
_HALF: Final = re.compile(r"[\ud800-\udfff]")
_CONTROL: Final = bytes(range(32))
_FIRST_PIECE: Final = 1024
_LONGEST_ESCAPE: Final = 6
"""Characters, as in `\\u00e9`."""


class TooManyValues(ValueError):
    """More values than were allowed."""


class TooDeep(ValueError):
    """More levels than were allowed."""


class HalfCharacter(ValueError):
    """A text with half of a surrogate pair in it."""


def decode(text: str, decoder: json.JSONDecoder, *, most_values: int, most_depth: int) -> Any:
    """The one value in a text.

    Args:
        text: the JSON.
        decoder: whose hooks say what becomes of objects and numbers, and which reads the pieces of strings.
        most_values: how many are read; a key counts as well.
        most_depth: how many objects and arrays may be within one another.

    Raises:
        json.JSONDecodeError: it is no JSON.
        TooManyValues: there are more.
        TooDeep: there are more levels.
        HalfCharacter: a lone surrogate.
    """
    reader = _Reader(text, decoder, most_values, most_depth)
    value, at = reader.value(reader.skip(0))
    if reader.skip(at) != len(text):
        raise json.JSONDecodeError("Extra data", text, at)
    return value


class _Reader:
    """Each method reads one thing that begins at `at`, and tells where it ends."""

    def __init__(self, text: str, decoder: json.JSONDecoder, most_values: int, most_depth: int) -> None:
        self._text = text
        self._decoder = decoder
        self._values_left = most_values
        self._levels_left = most_depth

    def skip(self, at: int) -> int:
        """Past the white space."""
        while (end := self._end(_SPACE, at)) == at + SLICE:
            at = end
        return end

    def value(self, at: int) -> tuple[Any, int]:
        """Any value."""
        self._count()
        mark = self._text[at : at + 1]
        match mark:
            case '"':
                return self._string(at + 1)
            case "{":
                return self._inside(self._object, at)
            case "[":
                return self._inside(self._array, at)
            case "t" | "f" | "n":
                word, meaning = _WORDS[mark]
                return (meaning, at + len(word)) if self._text.startswith(word, at) else self._fail(at)
            case _:
                return self._number(at)

    def _inside(self, read: Callable[[int], tuple[Any, int]], at: int) -> tuple[Any, int]:
        self._levels_left -= 1
        if self._levels_left < 0:
            raise TooDeep
        found = read(self.skip(at + 1))
        self._levels_left += 1
        return found

    def _object(self, at: int) -> tuple[Any, int]:
        pairs: list[tuple[str, Any]] = []
        if self._text[at : at + 1] != "}":
            while True:
                if self._text[at : at + 1] != '"':
                    self._fail(at, "Expecting property name enclosed in double quotes")
                self._count()
                name, at = self._string(at + 1)
                at = self._past(":", self.skip(at))
                value, at = self.value(at)
                pairs.append((name, value))
                at = self.skip(at)
                if self._text[at : at + 1] == "}":
                    break
                at = self._past(",", at)
        return self._decoder.object_pairs_hook(pairs), at + 1

    def _array(self, at: int) -> tuple[list[Any], int]:
        values: list[Any] = []
        if self._text[at : at + 1] != "]":
            while True:
                value, at = self.value(at)
                values.append(value)
                at = self.skip(at)
                if self._text[at : at + 1] == "]":
                    break
                at = self._past(",", at)
        return values, at + 1

    def _number(self, at: int) -> tuple[Any, int]:
        found = _NUMBER.match(self._text, at, at + SLICE)
        if found is None:
            self._fail(at)
        parse = self._decoder.parse_float if found[2] else self._decoder.parse_int
        return parse(found[0]), found.end()

    def _string(self, at: int) -> tuple[str, int]:
        close = self._text.find('"', at)
        if close < 0:
            self._fail(at - 1, "Unterminated string starting at")
        if self._text.find("\\", at, close) < 0:
            return self._plain(at, close)
        parts: list[str] = []
        size, ended = _FIRST_PIECE, False
        while not ended:
            part, at, ended = self._piece(at, size)
            parts.append(self._whole(part))
            size = min(size * 8, SLICE)
        return "".join(parts), at

    def _plain(self, at: int, close: int) -> tuple[str, int]:
        """A string without escapes."""
        for start, end in bounds_of(close - at):
            octets = self._text[at + start : at + end].encode()
            if len(octets.translate(None, _CONTROL)) < len(octets):
                self._fail(at + start, "Invalid control character behind")
        return self._text[at:close], close + 1

    def _piece(self, at: int, size: int) -> tuple[str, int, bool]:
        """Part of a string, where it ends, and whether the string ended with it."""
        failed: tuple[str, int] | None = None  # not the error: it would hold this frame, and the frame it, and the text
        for back in range(_LONGEST_ESCAPE):  # a cut inside an escape fails; one a little earlier will do
            cut = at + size - back
            piece = self._text[at:cut]
            try:
                part, end = self._decoder.raw_decode(f'"{piece}"')
            except json.JSONDecodeError as error:
                failed = failed or (error.msg, error.pos - 1)
                continue
            if end < len(piece) + 2:
                return part, at + end - 1, True
            if cut >= len(self._text):
                break
            if "\ud800" <= part[-1] <= "\udbff":  # its other half is behind the cut
                return part[:-1], cut - _LONGEST_ESCAPE, False
            return part, cut, False
        message, behind = failed or ("Unterminated string starting at", -1)
        return self._fail(at + behind, message)

    def _whole(self, text: str) -> str:
        if not text.isascii() and _HALF.search(text):
            raise HalfCharacter
        return text

    def _count(self) -> None:
        self._values_left -= 1
        if self._values_left < 0:
            raise TooManyValues

    def _past(self, mark: str, at: int) -> int:
        if self._text[at : at + 1] != mark:
            self._fail(at, f"Expecting '{mark}' delimiter")
        return self.skip(at + 1)

    def _end(self, pattern: re.Pattern[str], at: int) -> int:
        found = pattern.match(self._text, at, at + SLICE)
        return at if found is None else found.end()

    def _fail(self, at: int, message: str = "Expecting value") -> NoReturn:
        raise json.JSONDecodeError(message, self._text, at)
