"""Section `steady`: a constant 100 requests a second, far below what can be carried.

What a request costs then is more than at saturation: nothing is shared with a neighbour, neither a wake-up of the event
loop nor a batch of the stores.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import uvloop

from tests.bench.contenders import all_of
from tests.bench.hot import median
from tests.bench.load import Block, constant_load
from tests.bench.stage import Stage
from tests.bench.tables import Section, ms, per_s, us
from tests.e2e.house import Key

_PER_S = 100.0
_KEYS = 10
"""Few, so that each is used often: how long a key is remembered is not what is measured here."""


def measure(stage: Stage, keys: Sequence[Key], *, rounds: int, for_s: float) -> Iterator[Section]:
    """The table of this section."""
    blocks: dict[str, list[Block]] = {}
    with all_of(stage, keys[:_KEYS], stage.house.simulator.url) as contenders:
        for _ in range(rounds):
            for name, one in contenders.items():
                block = constant_load(one.target, one.accounts, kind="native", per_s=_PER_S, for_s=for_s)
                blocks.setdefault(name, []).append(uvloop.run(block))
    rows = [
        (
            name,
            per_s(median(found, lambda block: block.requests_per_s)),
            *(_cpu(found, who) for who in ("own", "postgres", "valkey")),
            ms(median(found, lambda block: block.first_byte_ms(0.5))),
            ms(median(found, lambda block: block.first_byte_ms(0.99))),
        )
        for name, found in blocks.items()
    ]
    yield Section(
        title=f"steady: native whole, {_PER_S:g} requests/s, medians of {rounds} alternating blocks of {for_s:g} s",
        headings=("", "requests/s", "own CPU/request", "PostgreSQL", "Valkey", "first byte p50", "p99"),
        rows=rows,
        how="Requests are sent on time, whether or not the former ones are answered. The CPU holds what a program does "
        "when it idles, too.",
    )


def _cpu(blocks: Sequence[Block], who: str) -> str:
    if who not in blocks[0].cpu_s:
        return ""
    return us(median(blocks, lambda block: block.cpu_us(who)))
