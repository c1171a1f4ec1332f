"""Section `growth`: what a call and an operator's questions cost on a full database, beside an empty one.

Both are databases of one server, each with a gateway of its own, and are asked in turns. What is asked is the same in
both, and so is the answer: of tenants that were made here and have called as often. So a ratio above 1 is what others'
tenants, keys and calls cost.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence

import attrs
import psycopg
import uvloop

from domain.policies import Policy
from tests import bulk
from tests.bench.contenders import Contender, through
from tests.bench.hot import median
from tests.bench.load import Block, Target, first_calls, full_load
from tests.bench.memory import measure_memory
from tests.bench.questions import QUESTIONS, seconds_by_question
from tests.bench.stage import NEVER_BINDING, Stage, make_keys
from tests.bench.tables import Section, ms, us
from tests.e2e.house import House, Key, fresh_database
from tests.figures.record import record
from tests.figures.table import Figure

_TENANTS = 10
_KIND = "native"
_FLAT = 1.2
_REAL_CLOCK = (
    "create or replace function neuronetz.ledger_now() returns timestamptz language sql stable as 'select now()'"
)
_HEADINGS = ("", "empty", "full", "full/empty")


@attrs.frozen(kw_only=True)
class Plan:
    """How much is measured."""

    full: bulk.Size
    distinct_keys: int
    """Seen by one gateway in a row, for what it remembers of them."""
    rounds: int
    requests: int
    first_calls: int = 40
    repeats: int = 9
    starts: int = 3
    keys: int = 100
    """Of as many tenants as `_TENANTS`; the last ones are revoked one after the other."""

    @classmethod
    def of(cls, calls: int, *, rounds: int, requests: int) -> Plan:
        """A database with so many calls, which is twice as many rows of audit; a key has 5 and a tenant 50 of them."""
        full = bulk.Size(tenants=max(1, calls // 50), keys=max(1, calls // 5), calls=calls, months=13, skew=8)
        return cls(full=full, distinct_keys=min(100_000, calls // 10), rounds=rounds, requests=requests)


@attrs.frozen(kw_only=True)
class Site:
    """One database with its gateway and its keys."""

    house: House
    keys: Sequence[Key]
    new_keys: list[Key]
    """Never used yet."""
    contender: Contender


def measure(stage: Stage, plan: Plan) -> Iterator[Section]:
    """The tables of this section."""
    with contextlib.ExitStack() as open_sites:
        began_s = time.monotonic()
        full_url = open_sites.enter_context(fresh_database(stage.stores))
        bulk.fill(full_url, plan.full)
        with psycopg.connect(full_url, autocommit=True) as connection:
            connection.execute("vacuum analyze")  # as autovacuum does in time, and would do while we measure
        filled_s = time.monotonic() - began_s
        yield from measure_on(stage, full_url, plan, filled=f"Filled in {filled_s:.0f} s")


def measure_on(stage: Stage, full_url: str, plan: Plan, *, filled: str = "Filled before") -> Iterator[Section]:
    """The same, on a database that is full already."""
    houses = {"empty": stage.house, "full": attrs.evolve(stage.house, database_url=full_url, gateways=[])}
    try:
        sites = {name: _site(stage, house, plan) for name, house in houses.items()}
        of_calls = _calls(sites, plan)
        keys = {name: site.keys for name, site in sites.items()}
        of_questions = seconds_by_question(houses, keys, plan.repeats)
        starts = _starts(sites, plan.starts)
        size = f"{plan.full.tenants:,} tenants, {plan.full.keys:,} keys, {2 * plan.full.calls:,} audit rows"
        yield _calls_table(of_calls, starts, plan, f"{filled}: {size}, {plan.full.months} months")
        yield _questions_table(of_questions, plan)
        _tell(of_calls, of_questions, size)
        yield from measure_memory(houses["full"], houses["full"].gateways[0], plan.distinct_keys)
    finally:
        for gateway in houses["full"].gateways:
            gateway.stop()


def _site(stage: Stage, house: House, plan: Plan) -> Site:
    with psycopg.connect(house.database_url) as connection:
        connection.execute(_REAL_CLOCK)  # tests' own is slower, and its plans are other ones
    tenants: list[tuple[str, Policy | None]] = [
        (f"growth-{number % _TENANTS}", NEVER_BINDING if number < _TENANTS else None) for number in range(plan.keys)
    ]
    keys = make_keys(house, tenants)
    new = make_keys(house, [("growth-new", None)] * (plan.first_calls * plan.rounds))
    gateway = house.add_gateway()
    gateway.wait_ready()
    return Site(house=house, keys=keys, new_keys=list(new), contender=through(stage, gateway, keys))


# ---- calls ----


@attrs.define
class _OfCalls:
    warm: dict[str, list[Block]] = attrs.field(factory=dict)
    first: dict[str, list[Block]] = attrs.field(factory=dict)


def _calls(sites: Mapping[str, Site], plan: Plan) -> _OfCalls:
    found = _OfCalls()
    for _ in range(plan.rounds):
        for name, site in sites.items():
            one = site.contender
            warm = full_load(
                one.target, one.accounts, kind=_KIND, streamed=False, connections=32, requests=plan.requests
            )
            found.warm.setdefault(name, []).append(uvloop.run(warm))
            new = [site.new_keys.pop().text for _ in range(plan.first_calls)]
            first = first_calls(Target(one.target.url, new), one.accounts, kind=_KIND, at_once=2)
            found.first.setdefault(name, []).append(uvloop.run(first))
    return found


def _starts(sites: Mapping[str, Site], times: int) -> Mapping[str, Sequence[float]]:
    """Seconds from the start of a gateway to its readiness."""
    found: dict[str, list[float]] = {name: [] for name in sites}
    for _ in range(times):
        for name, site in sites.items():
            began_s = time.monotonic()
            gateway = site.house.add_gateway()
            gateway.wait_ready()
            found[name].append(time.monotonic() - began_s)
            gateway.stop()
    return found


def _calls_table(calls: _OfCalls, starts: Mapping[str, Sequence[float]], plan: Plan, filled: str) -> Section:
    rows = []
    for what, blocks in (("known key", calls.warm), ("new key", calls.first)):
        for who, title in (("own", "gateway"), ("postgres", "PostgreSQL"), ("valkey", "Valkey")):
            empty_us, full_us = _cpu_us(blocks, who)
            rows.append((f"{what}, {title} CPU", us(empty_us), us(full_us), _ratio(empty_us, full_us)))
        empty_ms, full_ms = (median(blocks[name], lambda block: block.first_byte_ms(0.5)) for name in blocks)
        rows.append((f"{what}, first byte p50", ms(empty_ms), ms(full_ms), _ratio(empty_ms, full_ms)))
    if plan.starts:
        empty_s, full_s = (statistics.median(starts[name]) for name in ("empty", "full"))
        rows.append(("start of a gateway", f"{empty_s:.2f} s", f"{full_s:.2f} s", _ratio(empty_s, full_s)))
    return Section(
        title=f"growth: a call, native whole, medians of {plan.rounds} alternating blocks of {plan.requests}",
        headings=_HEADINGS,
        rows=rows,
        how=f"{filled}. A known key: remembered by the gateway, 32 connections. A new one: its first call, which costs "
        f"a look at the register and an Argon2id run; {plan.first_calls} a block, so a tick of the clock weighs more.",
    )


def _cpu_us(blocks: Mapping[str, Sequence[Block]], who: str) -> tuple[float, float]:
    return (
        median(blocks["empty"], lambda block: block.cpu_us(who)),
        median(blocks["full"], lambda block: block.cpu_us(who)),
    )


# ---- questions ----


def _questions_table(found: Mapping[str, Sequence[float]], plan: Plan) -> Section:
    rows = []
    for name, (empty_s, full_s) in found.items():
        flat = "" if QUESTIONS[name].flat else " (grows)"
        rows.append((name + flat, ms(empty_s * 1000), ms(full_s * 1000), _ratio(empty_s, full_s)))
    return Section(
        title=f"growth: operators' questions and upkeep, medians of {plan.repeats}, asked in turns",
        headings=_HEADINGS,
        rows=rows,
        how="Time on the clock, without the start of a program. What is marked grows with what it answers or looks at: "
        "all tenants, the whole audit, a time without a tenant.",
    )


def _tell(calls: _OfCalls, questions: Mapping[str, Sequence[float]], size: str) -> None:
    """The figure: CPU of a call, and the questions that it names."""
    own, postgres = _cpu_us(calls.warm, "own"), _cpu_us(calls.warm, "postgres")
    seen = {"call": (own[1] + postgres[1]) / (own[0] + postgres[0])}
    for name in ("usage --tenant", "list-keys --tenant"):
        empty_s, full_s = questions[name]
        seen[name] = full_s / empty_s
    words = ", ".join(f"{name} {ratio:.2f}" for name, ratio in seen.items())
    record(Figure.GROWTH, words, good=all(ratio <= _FLAT for ratio in seen.values()), how=size)


def _ratio(empty: float, full: float) -> str:
    return f"{full / empty:.2f}" if empty else ""
