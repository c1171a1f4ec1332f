"""Keys that nobody with the pepper made, in every way that is known."""

from __future__ import annotations

import itertools
import random
import string
from collections.abc import Callable, Iterator, Mapping

from domain.keys import ALPHABET, CHECK_LENGTH, PREFIX_LENGTH, SECRET_LENGTH, mint

_FOREIGN_PEPPER = b"the pepper of somebody else's gateway"
_WHOLE = len("nz_") + PREFIX_LENGTH + SECRET_LENGTH + CHECK_LENGTH

Make = Callable[[str, random.Random], str]
"""Takes a key that is good."""


def _base62(chance: random.Random, length: int) -> str:
    return "".join(chance.choices(ALPHABET, k=length))


def _wrong_check(good: str, chance: random.Random) -> str:
    """The right prefix and secret: one character of the check is another."""
    place = chance.randrange(_WHOLE - CHECK_LENGTH, _WHOLE)
    other = chance.choice([digit for digit in ALPHABET if digit != good[place]])
    return good[:place] + other + good[place + 1 :]


def _wrong_secret(good: str, chance: random.Random) -> str:
    """A prefix that the register knows; its secret and its check are guessed."""
    return good[: 3 + PREFIX_LENGTH] + _base62(chance, SECRET_LENGTH + CHECK_LENGTH)


def _unknown_prefix(_good: str, chance: random.Random) -> str:
    """Right in form, guessed altogether."""
    return "nz_" + _base62(chance, PREFIX_LENGTH + SECRET_LENGTH + CHECK_LENGTH)


def _malformed(good: str, chance: random.Random) -> str:
    """Of another form: too short, too long, another mark, a character that no key has."""
    other = chance.choice(string.punctuation.replace(",", "").replace('"', ""))
    place = chance.randrange(3, _WHOLE)
    return chance.choice((good[:-1], good + "0", "sk-" + good[3:], good[:place] + other + good[place + 1 :]))


def _foreign(_good: str, chance: random.Random) -> str:
    """Made by another gateway: its check is right, for another pepper."""
    return mint(_base62(chance, PREFIX_LENGTH), _base62(chance, SECRET_LENGTH), _FOREIGN_PEPPER).secret.unwrap()


KINDS: Mapping[str, Make] = {
    "wrong check": _wrong_check,
    "known prefix, wrong secret": _wrong_secret,
    "unknown prefix": _unknown_prefix,
    "malformed": _malformed,
    "another pepper": _foreign,
}


def bad_keys(good: str, chance: random.Random) -> Iterator[str]:
    """All kinds in turn, for ever, each key another one."""
    for make in itertools.cycle(KINDS.values()):
        yield make(good, chance)


def chance(seed: int) -> random.Random:
    """The same keys every time."""
    return random.Random(seed)  # noqa: S311  what is guessed here is to be wrong
