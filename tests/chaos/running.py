"""One run: the crowd, the poller and the torments; calm; what is left; the four logs; the tables."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

import attrs

from tests.chaos.cast import make_cast
from tests.chaos.clients import Crowd
from tests.chaos.judging import Wrong, wrongs
from tests.chaos.ledgers import Ledgers, read_ledgers
from tests.chaos.operator import Operator
from tests.chaos.poller import Poller
from tests.chaos.stage import Stage, open_stage, unix_s
from tests.chaos.torments import Torments
from tests.figures.record import record
from tests.figures.table import Figure
from tests.soak.leftovers import counted
from tests.soak.printing import Report, counts

_CALM_WITHIN_S = 60.0
_LEASE_S = 30.0
_LEAST_FROZEN_S = 1.5
_MOST_STORIES = 12
_SEEN = (
    Figure.OVERSPEND,
    Figure.RATES_EXCEEDED,
    Figure.SERVED_WITHOUT_RECORD,
    Figure.SERVED_OR_SETTLED_TWICE,
    Figure.HOLDS_LEFT_OPEN,
    Figure.SLOTS_LEAKED,
    Figure.ADMITTED_AFTER_REVOKE,
    Figure.ADMITTED_WITHOUT_STORE,
)
"""The figures that are counts of wrongs."""
_KILLS = {"kill -9 gateway": 100, "kill -9 Valkey": 30, "kill -9 PostgreSQL": 30}


@attrs.frozen(kw_only=True)
class Plan:
    """How long, and which."""

    seconds: float
    seed: int
    out: Path
    longest_frozen_s: float = 6.5
    """Once longer than it takes to be taken for dead."""
    only: Collection[str] = ()
    """Names of faults; none means all."""


@attrs.define(kw_only=True)
class Outcome:
    """What a run has come to."""

    found: Ledgers
    wrong: Sequence[Wrong]
    torments: Torments
    looks: int
    calm_s: float

    def count(self, figure: Figure | None) -> int:
        """How many wrongs are of a figure."""
        return sum(one.figure is figure for one in self.wrong)


def chaos(plan: Plan) -> int:
    """Runs it; the exit status: 1 when a promise was broken."""
    plan.out.mkdir(parents=True, exist_ok=True)
    report = Report(plan.out / f"chaos-{plan.seed}.txt")
    report.say(f"{plan.seconds:.0f} s of chaos, seed {plan.seed}.")
    with open_stage() as stage:
        outcome = _run(stage, plan)
        _tell(outcome, plan, report)
    report.close()
    return 1 if outcome.wrong else 0


def _run(stage: Stage, plan: Plan) -> Outcome:
    who = make_cast(stage.house)
    torments = Torments(
        stage=stage,
        who=who,
        operator=Operator(house=stage.house, who=who),
        chance=random.Random(plan.seed),  # noqa: S311  not a secret; the same faults every time
        frozen_s=(_LEAST_FROZEN_S, plan.longest_frozen_s),
        only=plan.only,
    )
    crowd, poller = Crowd(stage=stage, who=who, seed=plan.seed), Poller(stage.house.database_url)
    poller.start()
    crowd.start()
    try:
        torments.rage(plan.seconds)
        stage.calm_down()
    finally:
        crowd.stop()
    torments.story.append(f"{unix_s():.3f} the last call has ended")
    calm_s, left = _until_nothing_is_left(stage, torments)
    states = [Wrong(Figure.OVERSPEND, sentence) for sentence in poller.stop()]
    found = read_ledgers(stage, crowd)
    wrong = [*states, *left, *_unended(crowd), *wrongs(found, who, torments.unusable, torments.deaths_s)]
    return Outcome(found=found, wrong=wrong, torments=torments, looks=poller.looks, calm_s=calm_s)


def _unended(crowd: Crowd) -> Sequence[Wrong]:
    return [Wrong(None, f"{crowd.unended} clients did not come to an end.")] if crowd.unended else []


def _until_nothing_is_left(stage: Stage, torments: Torments) -> tuple[float, Sequence[Wrong]]:
    """Waits until no hold, slot or turn is left, at most a lease after the last kill; how long that took."""
    began_s = time.monotonic()
    slots_until_s = max(torments.last_kill_s, began_s) + _LEASE_S
    while True:
        left = Counter(counted(stage.house))
        other = counted(attrs.evolve(stage.house, simulator=stage.backends[1].program))
        left.update({what: count for what, count in other.items() if "backend" in what})
        now_s = time.monotonic()
        if (told := ", ".join(f"{count} {what}" for what, count in left.items() if count)) not in torments.story[-1]:
            torments.story.append(f"{unix_s():.3f} left: {told}")
        late = [what for what, count in left.items() if count and (what == "open holds" or now_s > slots_until_s)]
        if not any(left.values()):
            return now_s - began_s, []
        if late and now_s > began_s + _CALM_WITHIN_S:
            return now_s - began_s, [
                Wrong(
                    Figure.HOLDS_LEFT_OPEN if what == "open holds" else Figure.SLOTS_LEAKED,
                    f"{now_s - began_s:.0f} s after the last call, {what} are {left[what]}, not 0.",
                )
                for what in late
            ]
        time.sleep(0.5)


def _tell(outcome: Outcome, plan: Plan, report: Report) -> None:
    calls = outcome.found.calls.values()
    served = sum(bool(call.at_backend) for call in calls)
    how = (
        f"{plan.seconds:.0f} s, seed {plan.seed}: {len(outcome.found.intents)} calls, {served} served, "
        f"{sum(outcome.torments.done.values())} faults, {outcome.looks} looks"
    )
    report.say(how)
    statuses = Counter(f"{one.seen.status} {one.seen.code}".strip() for one in outcome.found.intents)
    report.table("what clients were told", ("status", "calls"), counts(statuses))
    ends = Counter(f"{row['event']} {row['outcome']}" for call in calls for row in (*call.closed, *call.corrected))
    report.table("how the audit closed them", ("event and outcome", "calls"), counts(ends))
    report.table("faults survived", ("fault", "times"), counts(outcome.torments.done))
    report.table("commands that failed while a store was away", ("", "times"), counts(outcome.torments.operator.failed))
    report.table("figures", ("figure", "target", "seen"), _figures(outcome, how))
    report.say("\n".join(["what was done when:", *outcome.torments.story]))
    report.say(f"Calm again within {outcome.calm_s:.0f} s after the last call.")
    for wrong in outcome.wrong[:_MOST_STORIES]:
        report.say(f"WRONG: {wrong.sentence}\n    {wrong.story}")
    if outcome.wrong:
        more = Counter(one.sentence if len(one.sentence) < 60 else one.sentence[:60] for one in outcome.wrong)
        report.table("all that is wrong", ("what", "times"), counts(more))
    report.say(f"seed {plan.seed}: " + ("a promise was broken." if outcome.wrong else "every promise was kept."))


def _figures(outcome: Outcome, how: str) -> Sequence[Sequence[str]]:
    rows = []
    for figure in _SEEN:
        seen = outcome.count(figure)
        record(figure, str(seen), good=not seen, how=how)
        rows.append((figure.words, figure.target, str(seen)))
    kills = [outcome.torments.done[name] for name in _KILLS]
    told = " / ".join(map(str, kills))
    enough = all(count >= wanted for count, wanted in zip(kills, _KILLS.values(), strict=True))
    if enough:
        record(Figure.KILLS_SURVIVED, told, good=not outcome.wrong, how=how)
    rows.append((Figure.KILLS_SURVIVED.words, Figure.KILLS_SURVIVED.target, told))
    return [*rows, ("answers that are not proper, calls without an end", "0", str(outcome.count(None)))]
