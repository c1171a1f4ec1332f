"""Commands as bytes (RESP: https://redis.io/docs/latest/develop/reference/protocol-spec/).

A command is an array of words, each with its length in front. Hot callers keep the words that do not change and join
them, which is why `word` stands alone.
"""

from __future__ import annotations


def word(text: str | bytes) -> bytes:
    """One word."""
    raw = text.encode() if isinstance(text, str) else text
    return b"$%d\r\n%b\r\n" % (len(raw), raw)


def packed(*words: str | bytes) -> bytes:
    """One command."""
    return b"*%d\r\n" % len(words) + b"".join(map(word, words))
