"""Section `hot`: what a request and a chunk cost when there is more to do than time; and where in the gateway it waits.

Blocks of all contenders alternate, so that drift of the machine falls on all of them.
"""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence

import attrs
import httpx
import uvloop
from prometheus_client.parser import text_string_to_metric_families

from tests.bench.contenders import Contender, all_of, by_parser
from tests.bench.load import Block, full_load
from tests.bench.stage import Stage, metrics_address
from tests.bench.tables import Section, ms, per_s, us
from tests.e2e.house import Key
from tests.figures.record import record
from tests.figures.table import Figure

KINDS = ("native", "openai")
_LEAST_PER_S = 300
ROOM_METRIC = "neuronetz_room_seconds"

Blocks = Mapping[tuple[str, str], Sequence[Block]]
"""By row and contender."""


@attrs.frozen(kw_only=True)
class Size:
    """How much is measured."""

    connections: int = 32
    requests: int = 2000
    rounds: int = 3
    tokens: int = 24
    """Chunks of a streamed answer."""


def measure(stage: Stage, keys: Sequence[Key], size: Size) -> Iterator[Section]:
    """The tables of this section."""
    metrics_url, settings = metrics_address()
    upstream = stage.house.simulator.url
    with all_of(stage, keys, upstream, **settings) as contenders, by_parser(stage, keys, upstream) as others:
        blocks = _blocks({**contenders, **others}, size)
        rooms = _seconds_by_room(metrics_url)
    _tell(blocks, size)
    yield _table(blocks, size)
    yield _stores(blocks)
    if rooms:
        yield _rooms(rooms)


def _blocks(contenders: Mapping[str, Contender], size: Size) -> Blocks:
    found: dict[tuple[str, str], list[Block]] = {}
    for kind in KINDS:
        for streamed in (False, True):
            for _ in range(size.rounds):
                for name, one in contenders.items():
                    block = full_load(
                        one.target,
                        one.accounts,
                        kind=kind,
                        streamed=streamed,
                        connections=size.connections,
                        requests=size.requests // (4 if streamed else 1),
                    )
                    found.setdefault((row_name(kind, streamed=streamed), name), []).append(uvloop.run(block))
    return found


def _tell(blocks: Blocks, size: Size) -> None:
    rate = median(blocks[row_name("native", streamed=False), "gateway"], lambda block: block.requests_per_s)
    how = f"{size.connections} connections, the load, the backend and the stores on the same cores"
    record(Figure.ADMISSIONS_A_SECOND, per_s(rate), good=rate >= _LEAST_PER_S, how=how)


def row_name(kind: str, *, streamed: bool) -> str:
    """As the rows are called."""
    return f"{kind} {'streamed' if streamed else 'whole'}"


def median(blocks: Sequence[Block], of: Callable[[Block], float]) -> float:
    """Of one figure over blocks."""
    return float(statistics.median(of(block) for block in blocks))


def _table(blocks: Blocks, size: Size) -> Section:
    rows = []
    for (row, name), found in blocks.items():
        streamed = "streamed" in row
        rate = median(found, lambda block: block.requests_per_s)
        cpu_us = "" if name == "direct" else us(median(found, lambda block: block.cpu_us("own")))
        rows.append(
            (
                f"{row}, {name}",
                per_s(rate),
                per_s(rate * size.tokens) if streamed else "",
                cpu_us,
                _us_a_chunk(blocks, row, name, size) if streamed else "",
                ms(median(found, lambda block: block.first_byte_ms(0.5))),
                ms(median(found, lambda block: block.first_byte_ms(0.99))),
            )
        )
    return Section(
        title=f"hot: {size.connections} connections, one program each, medians of {size.rounds} alternating blocks",
        headings=("", "requests/s", "chunks/s", "own CPU/request", "CPU/chunk", "first byte p50", "p99"),
        rows=rows,
        how="CPU is the program's own account (user and system). CPU/chunk: all of a streamed answer's CPU less that "
        "of a whole one, by its chunks; a fast backend's chunks come several at a time, see `slow` for one by one. The "
        "load, the backend and the stores share the cores with what is measured, so "
        "compare rows of one run, not runs. hello reads the body and answers by itself; relay passes through.",
    )


def _us_a_chunk(blocks: Blocks, row: str, name: str, size: Size) -> str:
    if name == "direct":
        return ""
    streamed_us = median(blocks[row, name], lambda block: block.cpu_us("own"))
    whole_us = median(blocks[row.replace("streamed", "whole"), name], lambda block: block.cpu_us("own"))
    return us((streamed_us - whole_us) / size.tokens)


def _stores(blocks: Blocks) -> Section:
    rows = [
        (
            row,
            us(median(found, lambda block: block.cpu_us("postgres"))),
            us(median(found, lambda block: block.cpu_us("valkey"))),
        )
        for (row, name), found in blocks.items()
        if name == "gateway"
    ]
    return Section(
        title="hot: the stores' CPU",
        headings=("", "PostgreSQL CPU/request", "Valkey CPU/request"),
        rows=rows,
        how="PostgreSQL: the postmaster and all its children, those that have ended too. Same blocks as above.",
    )


def _seconds_by_room(metrics_url: str) -> Mapping[str, tuple[float, float]]:
    """Calls and seconds by room; empty when the gateway shows none."""
    found: dict[str, dict[str, float]] = {}
    if metrics_url:
        with contextlib.suppress(httpx.HTTPError):
            for family in text_string_to_metric_families(httpx.get(metrics_url, timeout=10).text):
                for sample in family.samples if family.name == ROOM_METRIC else ():
                    which = sample.name.removeprefix(ROOM_METRIC)
                    if which in {"_sum", "_count"}:
                        found.setdefault(sample.labels["room"], {})[which] = sample.value
    return {room: (one.get("_count", 0.0), one.get("_sum", 0.0)) for room, one in found.items()}


def _rooms(rooms: Mapping[str, tuple[float, float]]) -> Section:
    rows = [(room, per_s(count), ms(took_s / count * 1000) if count else "") for room, (count, took_s) in rooms.items()]
    return Section(
        title="hot: where a call's time goes, by the gateway's own metric",
        headings=("room", "calls", "mean"),
        rows=rows,
        how="Time on the clock, not CPU: at saturation most of it is waiting for the one core. All calls of the run.",
    )
