"""The raw framings, by what is odd about them."""

from __future__ import annotations

from collections.abc import Mapping

from tests.e2e.wire.case import Case
from tests.e2e.wire.framings import chunks, connections, heads, lengths, targets

FRAMINGS: Mapping[str, Case] = {
    case.name: case for case in [*lengths.CASES, *chunks.CASES, *heads.CASES, *targets.CASES, *connections.CASES]
}
