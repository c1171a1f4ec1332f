"""The Lua scripts, read once when the gateway is put together, and called by their hash.

A script is one atomic question; everything it touches is named in its KEYS. Their first line
(`#!lua`) needs Redis 7 or Valkey: https://redis.io/docs/latest/develop/programmability/lua-api/ (script flags).
"""

from __future__ import annotations

import hashlib
from importlib import resources

import attrs

from adapters.redis.words import packed, word


@attrs.frozen
class Script:
    """One script of this package."""

    text: str = attrs.field(repr=False)
    sha1: str

    def head(self, keys: int, arguments: int) -> bytes:
        """The start of a call with so many KEYS and ARGV; exactly as many words must follow."""
        words = b"".join(map(word, ("EVALSHA", self.sha1, str(keys))))
        return b"*%d\r\n" % (3 + keys + arguments) + words

    @property
    def loading(self) -> bytes:
        """The command that makes a server know it."""
        return packed("SCRIPT", "LOAD", self.text)


@attrs.frozen(kw_only=True)
class Scripts:
    """All of them."""

    admit: Script
    release: Script
    restore: Script
    announce: Script
    heartbeat: Script
    turns: Script

    @property
    def loading(self) -> list[bytes]:
        """The commands that make a server know them all."""
        each = (self.admit, self.release, self.restore, self.announce, self.heartbeat, self.turns)
        return [script.loading for script in each]


def read_scripts() -> Scripts:
    """Reads them from this package."""
    return Scripts(**{name: _read(name) for name in attrs.fields_dict(Scripts)})


def _read(name: str) -> Script:
    text = resources.files("adapters.redis").joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")
    # Redis names scripts by SHA-1; nothing rests on it.
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
