"""Numbers in sentences."""

from __future__ import annotations


def counted(count: int, one: str, more: str = "") -> str:
    """A number with its word: `1 problem`, `2 problems`; where an s is not enough, `more` is given."""
    return f"{count:,} {one if count == 1 else more or one + 's'}"
