"""The fenced blocks of our documents. What a reader may copy and run is run by a test, or says why not.

A block that is not run has `<!-- not run: reason -->` on the line before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs

ROOT = Path(__file__).resolve().parents[2]
RUNNABLE = {"sh", "bash", "shell", "console", "python", "javascript", "js", "sql"}
_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_MARK = re.compile(r"<!-- not run: (.+?) -->\s*\Z", re.DOTALL)


@attrs.frozen(kw_only=True)
class Block:
    """One fenced block."""

    document: Path
    line: int
    language: str
    text: str
    not_run: str | None
    """Why it is not run; None when it must be."""

    @property
    def place(self) -> str:
        return f"{self.document.relative_to(ROOT)}:{self.line}"


def documents() -> Sequence[Path]:
    """Everything that people read."""
    folders = [path for folder in ("docs", "infra", "migrations") for path in (ROOT / folder).rglob("*.md")]
    return sorted([*ROOT.glob("*.md"), *folders])


def blocks(document: Path) -> Iterator[Block]:
    """The blocks of a document that hold something to run."""
    text = document.read_text()
    for found in _FENCE.finditer(text):
        if found[1] in RUNNABLE:
            mark = _MARK.search(text, 0, found.start())
            line = text.count("\n", 0, found.start()) + 1
            reason = mark[1] if mark else None
            yield Block(document=document, line=line, language=found[1], text=found[2], not_run=reason)


def to_run(name: str) -> Sequence[Block]:
    """The blocks of one document, by its path from the root, that must run."""
    return [block for block in blocks(ROOT / name) if block.not_run is None]
