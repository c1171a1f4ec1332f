"""Sections `slow` and `held`: answers at the pace of a model, 20 chunks a second, many at once.

`slow` says what the gateway adds to the first byte; `held` what an open stream costs in memory, and whether its pace
suffers when hundreds are held.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import statistics
from collections.abc import Iterator, Sequence

import attrs
import httpx
import uvloop
from prometheus_client.parser import text_string_to_metric_families

from tests.bench.accounts import rss_bytes
from tests.bench.contenders import Contender, all_of, direct, through
from tests.bench.hot import median
from tests.bench.load import Block, Line, Record, full_load, quantile, request_of, warm_up
from tests.bench.stage import Stage, metrics_address
from tests.bench.tables import Section, ms, us
from tests.e2e.house import Key
from tests.e2e.programs import Simulator
from tests.figures.record import record
from tests.figures.table import Figure

_KIB = 1024
_MOST_ADDED_P50_MS = 5.0
_MOST_ADDED_P99_MS = 25.0
_MOST_KIB_EACH = 150.0
_MOST_LAG_S = 0.020
_LAG_METRIC = "neuronetz_event_loop_lag_seconds"


@attrs.frozen(kw_only=True)
class Pace:
    """How many, how long, how fast."""

    streams: int
    chunks: int
    chunks_per_s: float = 20.0
    rounds: int = 2

    @property
    def lasts_s(self) -> float:
        """One answer."""
        return self.chunks / self.chunks_per_s


@contextlib.contextmanager
def slow_backend(stage: Stage, pace: Pace) -> Iterator[Simulator]:
    """A backend of that pace."""
    options = ("--token-delay-ms", f"{1000 / pace.chunks_per_s:g}", "--tokens", str(pace.chunks))
    quiet = ("--log-tokens-per-line", "0", "--num-parallel", "4096")
    backend = Simulator(stage.house.folder, *options, *quiet, name=f"slow-{pace.streams}")
    try:
        yield backend
    finally:
        backend.stop()


def measure_slow(stage: Stage, keys: Sequence[Key], pace: Pace) -> Iterator[Section]:
    """The table of `slow`."""
    blocks: dict[str, list[Block]] = {}
    with slow_backend(stage, pace) as backend, all_of(stage, keys[: pace.streams], backend.url) as contenders:
        for _ in range(pace.rounds):
            for name in ("direct", "relay", "gateway"):
                blocks.setdefault(name, []).append(uvloop.run(_several_in_a_row(contenders[name], pace)))
    _tell_latency(blocks, pace)
    yield _slow_table(blocks, pace)


def _tell_latency(blocks: dict[str, list[Block]], pace: Pace) -> None:
    plain, seen = _first_bytes_ms(blocks["direct"]), _first_bytes_ms(blocks["gateway"])
    p50_ms, p99_ms = seen[0] - plain[0], seen[1] - plain[1]
    good = p50_ms <= _MOST_ADDED_P50_MS and p99_ms <= _MOST_ADDED_P99_MS
    how = f"{pace.streams} streams, against the backend alone in the blocks beside"
    record(Figure.ADDED_LATENCY, f"p50 {ms(p50_ms)}, p99 {ms(p99_ms)}", good=good, how=how)


async def _several_in_a_row(one: Contender, pace: Pace) -> Block:
    return await full_load(
        one.target,
        one.accounts,
        kind="native",
        streamed=True,
        connections=pace.streams,
        requests=pace.streams * 4,
        spread_s=pace.lasts_s,
    )


def _first_bytes_ms(blocks: Sequence[Block]) -> tuple[float, float]:
    """The median and the 99th percentile of the time to the first byte."""
    return (
        median(blocks, lambda block: block.first_byte_ms(0.5)),
        median(blocks, lambda block: block.first_byte_ms(0.99)),
    )


def _slow_table(blocks: dict[str, list[Block]], pace: Pace) -> Section:
    plain = _first_bytes_ms(blocks["direct"])
    rows = []
    for name, found in blocks.items():
        seen = _first_bytes_ms(found)
        by_itself = name == "direct"
        rows.append(
            (
                name,
                ms(seen[0]),
                ms(seen[1]),
                "" if by_itself else ms(seen[0] - plain[0]),
                "" if by_itself else ms(seen[1] - plain[1]),
                "" if by_itself else us(median(found, lambda block: block.cpu_us("own")) / pace.chunks),
            )
        )
    return Section(
        title=f"slow: {pace.streams} streams at once, {pace.chunks_per_s:g} chunks/s each, medians of {pace.rounds} "
        "alternating blocks",
        headings=("", "first byte p50", "p99", "added p50", "p99", "CPU/chunk"),
        rows=rows,
        how=f"native, {pace.chunks} chunks an answer. Added: less what the backend alone takes in the blocks beside. "
        "CPU/chunk holds all of the call's cost, spread over its chunks.",
    )


@attrs.frozen(kw_only=True)
class _Held:
    """Many streams held at once."""

    kib_each: float
    most_at_once: int
    whole: int
    record: Record
    cpu_us_a_chunk: float


def measure_held(stage: Stage, keys: Sequence[Key], pace: Pace) -> Iterator[Section]:
    """The table of `held`."""
    with slow_backend(stage, pace) as backend:
        metrics_url, settings = metrics_address()
        gateway = stage.house.add_gateway(OLLAMA_BASE_URL=backend.url, **settings)
        gateway.wait_ready()
        try:
            alone = uvloop.run(_hold(direct(backend.url), None, pace))
            held = uvloop.run(_hold(through(stage, gateway, keys), gateway.pid, pace))
            _tell_held(held, pace, metrics_url)
        finally:
            gateway.stop()
    yield _held_table(alone, held, pace)


def _tell_held(held: _Held, pace: Pace, metrics_url: str) -> None:
    good = held.whole == pace.streams and held.kib_each <= _MOST_KIB_EACH
    told = f"{held.whole} whole, {held.kib_each:.0f} KiB each"
    record(Figure.SLOW_STREAMS, told, good=good, how=f"{pace.chunks} chunks each, {pace.chunks_per_s:g} a second")
    if metrics_url:
        lag_s = _lag_s(metrics_url, 0.99)
        told = f"p99 {ms(lag_s * 1000)}"
        record(
            Figure.LOOP_LAG, told, good=lag_s <= _MOST_LAG_S, how=f"the gateway's own metric, {pace.streams} streams"
        )


def _lag_s(metrics_url: str, part: float) -> float:
    """A quantile of the loop's lag, as Prometheus reckons it: by a straight line through its bucket."""
    families = text_string_to_metric_families(httpx.get(metrics_url, timeout=10).text)
    samples = [sample for family in families if family.name == _LAG_METRIC for sample in family.samples]
    buckets = sorted((float(one.labels["le"]), one.value) for one in samples if one.name.endswith("_bucket"))
    wanted = part * buckets[-1][1]
    below_s, below = 0.0, 0.0
    for bound_s, count in buckets:
        if count >= wanted:
            return below_s + (bound_s - below_s) * (wanted - below) / max(count - below, 1)
        below_s, below = bound_s, count
    return math.inf


async def _hold(one: Contender, pid: int | None, pace: Pace) -> _Held:
    await warm_up(one.target, "native", streamed=True)
    empty_bytes = rss_bytes(pid) if pid else 0
    record = Record()
    lines = [await Line.open(one.target, record) for _ in range(pace.streams)]
    keys = one.target.keys
    cpu_before = one.accounts["own"]() if pid else 0.0
    answers = []
    for place, line in enumerate(lines):
        request = request_of(one.target, keys[place % len(keys)], "native", streamed=True)
        answers.append(asyncio.create_task(line.ask(request)))
        await asyncio.sleep(0.5 * pace.lasts_s / pace.streams)
    full_bytes, alive = 0, 0
    while not all(answer.done() for answer in answers):
        running = sum(not answer.done() for answer in answers)
        alive = max(alive, min(running, len(record.first_bytes_s)))
        full_bytes = max(full_bytes, rss_bytes(pid) if pid else 0)
        await asyncio.sleep(0.2)
    await asyncio.gather(*answers, return_exceptions=True)
    whole = sum(answer.exception() is None for answer in answers)
    spent_s = (one.accounts["own"]() - cpu_before) if pid else 0.0
    for line in lines:
        line.close()
    return _Held(
        kib_each=(full_bytes - empty_bytes) / _KIB / pace.streams,
        most_at_once=alive,
        whole=whole,
        record=record,
        cpu_us_a_chunk=spent_s / (pace.streams * pace.chunks) * 1_000_000,
    )


def _held_table(alone: _Held, held: _Held, pace: Pace) -> Section:
    rows = []
    for name, one in (("direct", alone), ("gateway", held)):
        gaps = one.record.gaps_s
        rows.append(
            (
                name,
                f"{one.most_at_once}",
                f"{one.whole}",
                f"{one.kib_each:.0f} KiB" if one is held else "",
                ms(statistics.median(gaps) * 1000),
                ms(quantile(gaps, 0.99) * 1000),
                us(one.cpu_us_a_chunk) if one is held else "",
            )
        )
    return Section(
        title=f"held: {pace.streams} streams of {pace.chunks} chunks, {pace.chunks_per_s:g} chunks/s each",
        headings=("", "alive at once", "whole", "memory/stream", "gap p50", "gap p99", "CPU/chunk"),
        rows=rows,
        how="Memory: most RSS seen while they ran, less RSS before, when every key had been used once, by streams. "
        "Gap: between two pieces as the client sees them; several chunks may come as one piece.",
    )
