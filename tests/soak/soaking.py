"""The soak: hours of mixed traffic at half of what the gateways can carry, and what has grown, leaked or gone wrong.

    calibrate -> traffic at half that pace; an operator each minute; a sample each half minute; the books every ten
    seconds; a scrape every five -> stop -> wait until nothing is left -> tables, and a sentence for all that is wrong

Nothing that happens to one of the side loops ends the run: it is counted, and said in the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path

import attrs
import httpx
import uvloop

from entrypoints.embedded import EmbeddedStores
from tests.bench.stage import Stage, knows_setting, open_stage
from tests.figures.record import record
from tests.figures.table import Figure
from tests.soak.books import Books
from tests.soak.cast import Cast, make_cast, write_models
from tests.soak.changes import Changes
from tests.soak.leftovers import await_none
from tests.soak.printing import SLOPE_HEADINGS, Report, counts, slope_cells
from tests.soak.samples import LEAST_JUDGED_S, Clock, Sampler, Samples
from tests.soak.traffic import MOST_AT_ONCE, Traffic
from tests.soak.troupe import LogReader, Troupe, start_troupe
from tests.soak.wire import Client

_SCRAPE_S, _BOOKS_S, _MINUTE_S = 5.0, 10.0, 60.0
_LAST_CALLS_S = 120.0
_LEFT_WITHIN_S = 60.0
_FEW_LATE, _PART_LATE = 5, 0.001
_PROMPT_KEY = "a-key-for-kept-prompts-of-a-soak-0123456789"


_SideLoop = Coroutine[None, None, None]


@attrs.frozen(kw_only=True)
class Plan:
    """How long, and how much."""

    minutes: float
    out: Path
    calibrate_s: float = 30.0
    workers: int = 128
    part: float = 0.5
    """Of what could be carried in the calibration."""
    sample_every_s: float = 30.0
    seed: int = 7
    processes: int = 2


def soak(plan: Plan, stores: EmbeddedStores | None = None) -> int:
    """Runs it, on stores of its own if none are given; the exit status: 1 when something is leaked or wrong."""
    plan.out.mkdir(parents=True, exist_ok=True)
    models = write_models(plan.out / "models.json")
    options = ("--models", str(models), "--tokens", "24", "--token-delay-ms", "4", "--prompt-delay-ms-per-token", "0.2")
    quiet = ("--log-tokens-per-line", "0", "--num-parallel", "4096")
    settings = {"PROMPT_LOG_KEY": _PROMPT_KEY} if knows_setting("PROMPT_LOG_KEY") else {}
    report = Report(plan.out / "report.txt")
    with open_stage(*options, *quiet, stores=stores, **settings) as stage:
        who = make_cast(stage.house)
        troupe = start_troupe(stage.house, plan.processes)
        report.say(f"{len(troupe.pids)} gateway processes, {plan.minutes:g} minutes; samples go to {plan.out}.")
        run = uvloop.run(_play(stage, troupe, who, plan, report))
        wrong = [*await_none(stage.house, _LEFT_WITHIN_S), *run.wrongs(troupe)]
        run.books.balance()
        run.read_logs()
        wrong += run.books.wrongs()
        _tell(run, report, stage)
        if run.lasted_s >= LEAST_JUDGED_S * 1.5:
            leaks = [row.what for row in run.samples.rows(run.lasted_s) if row.leaks]
            told = ", ".join(leaks) or "0 within noise"
            record(Figure.SOAK, told, good=not leaks, how=f"{plan.minutes:g} minutes of mixed traffic")
    return _verdict(wrong, report)


@attrs.define(kw_only=True)
class _Run:
    """What is known of a run."""

    traffic: Traffic
    changes: Changes
    books: Books
    samples: Samples
    logs: Sequence[LogReader]
    first_pids: Sequence[int]
    scrapes: Counter[str] = attrs.field(factory=Counter)
    stumbles: Counter[str] = attrs.field(factory=Counter)
    """What the side loops met, by what it was."""
    per_s: float = 0.0
    lasted_s: float = 0.0
    unended: int = 0
    """Calls that had no end two minutes after the last one was sent."""

    def read_logs(self) -> None:
        """Takes in what the gateways have logged since the last time."""
        for log in self.logs:
            log.read()

    @property
    def grave(self) -> Counter[str]:
        """Warnings and worse that they logged."""
        total: Counter[str] = Counter()
        for log in self.logs:
            total.update(log.grave)
        return total

    def wrongs(self, troupe: Troupe) -> Sequence[str]:
        """What must not be, a sentence each; the books speak for themselves."""
        found = []
        if list(troupe.pids) != list(self.first_pids):
            found.append(f"The gateway processes were {list(self.first_pids)} and are {list(troupe.pids)} now.")
        if self.unended:
            found.append(f"{self.unended} calls had no end {_LAST_CALLS_S:.0f} s after the last one was sent.")
        if self.traffic.surprises:
            found.append(f"{sum(self.traffic.surprises.values())} calls ended as they must not; see the table.")
        late = self.traffic.late.total()
        if late > max(_FEW_LATE, self.traffic.calls * _PART_LATE):
            found.append(f"{late} calls were refused because a store was late, more than one in a thousand.")
        if self.changes.opened:
            found.append(f"{self.changes.opened} calls were admitted with a key that had been replaced.")
        found += [
            f"{row.what} grows by {row.slope.per_hour:.2f} ± {row.slope.give_or_take:.2f} an hour."
            for row in self.samples.rows(self.lasted_s)
            if row.leaks and row.slope
        ]
        return found


async def _play(stage: Stage, troupe: Troupe, who: Cast, plan: Plan, report: Report) -> _Run:
    chance = random.Random(plan.seed)  # noqa: S311  not a secret; the same mix every time
    clients = [Client(url, chance) for url in troupe.urls]
    run = _Run(
        traffic=Traffic(clients=clients, who=who, chance=chance),
        changes=Changes(house=stage.house, who=who, clients=clients, prompts_are_kept=knows_setting("PROMPT_LOG_KEY")),
        books=Books(stage.house),
        samples=Samples(plan.out / "samples.csv"),
        logs=[LogReader(gateway.output) for gateway in troupe.gateways],
        first_pids=troupe.pids,
    )
    could_per_s = await run.traffic.flat_out(plan.workers, plan.calibrate_s)
    run.per_s = could_per_s * plan.part
    report.say(f"They can carry {could_per_s:.0f} calls/s of this mix here now; the pace is {run.per_s:.0f} calls/s.")
    clock = Clock()
    sampler = Sampler(stage=stage, gateways=lambda: troupe.pids, metrics_urls=troupe.metrics_urls)
    loops = [asyncio.create_task(loop) for loop in _side_loops(run, sampler, clock, plan, report)]
    await run.traffic.at_pace(run.per_s, plan.minutes * _MINUTE_S)
    run.lasted_s = clock.now_s
    for loop in loops:
        loop.cancel()
    await asyncio.gather(*loops, return_exceptions=True)
    run.unended = await run.traffic.ended(_LAST_CALLS_S)
    for client in clients:
        await client.aclose()
    return run


def _side_loops(run: _Run, sampler: Sampler, clock: Clock, plan: Plan, report: Report) -> Sequence[_SideLoop]:
    async def sample() -> None:
        run.samples.add(clock.now_s, await asyncio.to_thread(sampler.look))
        await asyncio.to_thread(run.read_logs)

    async def tell() -> None:
        if clock.now_s > _MINUTE_S / 2:
            report.say(_progress(run, clock))

    return [
        _every(plan.sample_every_s, "sample", sample, run),
        _every(_BOOKS_S, "books", lambda: asyncio.to_thread(run.books.balance), run),
        _every(_SCRAPE_S, "scrape", lambda: asyncio.to_thread(_scrape, sampler.metrics_urls, run), run),
        _every(min(_MINUTE_S, plan.minutes * _MINUTE_S / 3), "operator", run.changes.round, run),
        _every(_MINUTE_S, "progress", tell, run),
    ]


async def _every(interval_s: float, name: str, step: Callable[[], Awaitable[None]], run: _Run) -> None:
    while True:
        began_s = time.monotonic()
        try:
            await step()
        except Exception as error:  # noqa: BLE001  a side loop must outlive what it meets; it is counted and told
            run.stumbles[f"{name}: {type(error).__name__}"] += 1
        await asyncio.sleep(max(1.0, began_s + interval_s - time.monotonic()))


def _scrape(urls: Sequence[str], run: _Run) -> None:
    for url in urls:
        with contextlib.suppress(httpx.HTTPError):
            run.scrapes[str(httpx.get(url, timeout=10).status_code)] += 1


def _progress(run: _Run, clock: Clock) -> str:
    memory = [points[-1][1] for what, points in run.samples.points.items() if what.endswith("rss MiB")]
    gateways = ", ".join(f"{one:.1f}" for one in memory)
    return (
        f"{clock.now_s / _MINUTE_S:5.1f} min: {run.traffic.calls:,} calls, "
        f"{sum(run.traffic.surprises.values())} surprises, {run.books.undercharged_calls} undercharged, "
        f"{run.traffic.held_back} held back, RSS {gateways} MiB"
    )


def _tell(run: _Run, report: Report, stage: Stage) -> None:
    by_kind = [(kind, what, f"{count:,}") for (kind, what), count in sorted(run.traffic.outcomes.items())]
    report.table("calls as the clients saw them", ("kind", "status", "calls"), by_kind)
    audit = stage.house.rows(
        "select event, coalesce(outcome, code, '') as how, sum(count)::bigint as n"
        " from audit group by 1, 2 order by 1, 2"
    )
    report.table(
        "the audit",
        ("event", "outcome or code", "rows"),
        [(row["event"], row["how"], f"{row['n']:,}") for row in audit],
    )
    report.table("calls as the backend saw them", ("ended", "calls"), counts(run.books.ended))
    _tell_of_slopes(run, report)
    noted = [(kind, what, f"{count:,}") for (kind, what), count in run.traffic.surprises.most_common()]
    report.table("calls that ended as they must not", ("kind", "seen", "calls"), noted)
    late = [(kind, code, f"{count:,}") for (kind, code), count in run.traffic.late.most_common()]
    report.table("calls refused because a store was late", ("kind", "code", "calls"), late)
    report.table("warnings and errors in the gateways' log", ("event", "lines"), counts(run.grave))
    report.say(
        f"{run.traffic.calls:,} calls in {run.lasted_s / _MINUTE_S:.1f} min at {run.per_s:.0f}/s "
        f"({run.traffic.held_back} held back because {MOST_AT_ONCE} were under way); {run.books.calls:,} checked "
        f"against the backend; {run.changes.rounds} rounds of an operator, {len(run.changes.failed)} commands failed; "
        f"scrapes {dict(run.scrapes) or 'none: no metrics'}; stumbles of this program {dict(run.stumbles) or 'none'}."
    )
    for failed in run.changes.failed[:10]:
        report.say(f"  command failed: {failed}")


def _tell_of_slopes(run: _Run, report: Report) -> None:
    rows = [slope_cells(row) for row in run.samples.rows(run.lasted_s)]
    report.table("growth by the hour, least squares with a 95 % interval, warm-up left out", SLOPE_HEADINGS, rows)
    if run.lasted_s < LEAST_JUDGED_S * 1.5:
        report.say("Too short to judge growth: that takes more than 25 minutes.")


def _verdict(wrong: Sequence[str], report: Report) -> int:
    for sentence in wrong:
        report.say(f"WRONG: {sentence}")
    report.say("Something is leaked or wrong." if wrong else "Nothing leaked, nothing wrong.")
    report.close()
    return 1 if wrong else 0
