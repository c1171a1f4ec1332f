"""Section `processes`: one gateway process against two, under more load than one can carry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import uvloop

from tests.bench.contenders import Contender, through
from tests.bench.hot import Size, median
from tests.bench.load import Block, full_load
from tests.bench.stage import Stage, knows_setting
from tests.bench.tables import Section, ms, per_s, us
from tests.e2e.house import Key

_CONNECTIONS = 64


def measure(stage: Stage, keys: Sequence[Key], size: Size) -> Iterator[Section]:
    """The table of this section; empty as long as there is no such setting."""
    if not knows_setting("PROCESSES"):
        return
    gateways = {count: stage.house.add_gateway(PROCESSES=str(count)) for count in (1, 2)}
    try:
        for gateway in gateways.values():
            gateway.wait_ready()
        contenders = {
            f"{count} process{'es' * (count > 1)}": through(stage, gateways[count], keys) for count in gateways
        }
        yield _table(_blocks(contenders, size), size)
    finally:
        for gateway in gateways.values():
            gateway.stop()


def _blocks(contenders: Mapping[str, Contender], size: Size) -> Mapping[str, Sequence[Block]]:
    found: dict[str, list[Block]] = {}
    for _ in range(size.rounds):
        for name, one in contenders.items():
            block = full_load(
                one.target,
                one.accounts,
                kind="native",
                streamed=False,
                connections=_CONNECTIONS,
                requests=size.requests,
            )
            found.setdefault(name, []).append(uvloop.run(block))
    return found


def _table(blocks: Mapping[str, Sequence[Block]], size: Size) -> Section:
    rows = [
        (
            name,
            per_s(median(found, lambda block: block.requests_per_s)),
            us(median(found, lambda block: block.cpu_us("own"))),
            us(median(found, lambda block: block.cpu_us("postgres"))),
            us(median(found, lambda block: block.cpu_us("valkey"))),
            ms(median(found, lambda block: block.first_byte_ms(0.5))),
            ms(median(found, lambda block: block.first_byte_ms(0.99))),
        )
        for name, found in blocks.items()
    ]
    return Section(
        title=f"processes: native whole, {_CONNECTIONS} connections, medians of {size.rounds} alternating blocks",
        headings=("", "requests/s", "gateway CPU/request", "PostgreSQL", "Valkey", "first byte p50", "p99"),
        rows=rows,
        how="The CPU of two processes holds their parent's. More processes gain only what cores are free: the load, "
        "the backend and the stores run on the same ones.",
    )
