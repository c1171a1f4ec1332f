"""How many tokens a model's own template can add to a prompt: at most its literal bytes.

A byte-level tokenizer makes at most one token of a byte. What a template adds is the text outside its actions and
the strings quoted inside them (a Jinja template keeps whole paragraphs there). Text that a loop repeats for every
message is covered by the slack per message of `domain.bounds`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

_ACTION: Final = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
_QUOTED: Final = re.compile(r"\"((?:[^\"\\]|\\.)*)\"|'((?:[^'\\]|\\.)*)'|`([^`]*)`", re.DOTALL)
_COMMENT: Final = "{#"


def literal_bytes(template: str) -> int:
    """UTF-8 bytes of everything in a template that can reach a prompt by itself."""
    total = len(template.encode("utf-8", "replace"))
    for action in _ACTION.findall(template):
        total -= len(action.encode("utf-8", "replace"))
        if not action.startswith(_COMMENT):
            total += sum(len("".join(quoted).encode("utf-8", "replace")) for quoted in _QUOTED.findall(action))
    return total


def added_bytes(shown: dict[str, Any]) -> int:
    """The bytes that template, system text and example messages of a model (`/api/show`) add at most."""
    total = literal_bytes(_text(shown.get("template"))) + len(_text(shown.get("system")).encode("utf-8", "replace"))
    messages = shown.get("messages")
    examples: Iterable[Any] = messages if isinstance(messages, list) else ()
    for example in examples:
        if isinstance(example, dict):
            total += len(_text(example.get("content")).encode("utf-8", "replace"))
    return total


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
