"""The names in the JSON, as the documents tell them."""

from __future__ import annotations

from tests.docs.json_fields import json_fields


def test_lists_and_what_is_within_are_told() -> None:
    rows = json_fields().splitlines()[2:]

    assert rows[0].startswith("| `usage` | `[].tenant`, ")
    assert "`windows[].left`" in rows[1] and "`keys[].today.prompt_tokens`" in rows[1]
    assert "`tenants[].last_60_s.calls`" in rows[3] and "`backends[].healthy`" in rows[3]
