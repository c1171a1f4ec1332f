"""One tenant's calls never change another's numbers, and no order of events leaves anything behind."""

from __future__ import annotations

import asyncio
from datetime import datetime

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from application.live_calls import HUNG_UP, Cut
from domain.budgets import Budgets
from domain.faults import BackendFailed, BackendUnreachable, Fault, FaultCode
from domain.limits import Limits
from domain.policies import Policy
from domain.ports.budget_ledger import Stale
from domain.refusals import BackendRejected
from domain.settlement import Outcome
from tests.application.rig import (
    FORMS,
    HOLD,
    Client,
    Form,
    Rig,
    RiggedBackend,
    Served,
    a_call,
    in_no_time,
    pieces,
    turns_of_the_loop,
)
from tests.fakes.model_backend import Scene

POLICY = Policy(limits=Limits(rpm=12, tpm=8 * HOLD, concurrency=5), budgets=Budgets(daily=6 * HOLD, total=9 * HOLD))
SHUT_DOWN = Cut(Outcome.SHUT_DOWN, Fault(FaultCode.SHUTTING_DOWN, "stop"))
BACKENDS = 2
ENDS = ("healthy", "rejects", "fails", "breaks off", "unreachable", "waits")


@attrs.frozen
class Start:
    """A call of one of the two tenants, and what the backend will make of the next call it gets."""

    tenant: int
    form: Form
    end: str


@attrs.frozen
class End:
    nth: int
    cut: Cut


@attrs.frozen
class Other:
    """Something else that happens."""

    what: str


EVENTS = st.lists(
    st.one_of(
        st.builds(Start, st.integers(0, 1), st.sampled_from(FORMS), st.sampled_from(ENDS)),
        st.builds(End, st.integers(0, 9), st.sampled_from([HUNG_UP, SHUT_DOWN])),
        st.sampled_from(["turn", "turns", "second", "stale", "flush", "survey", "let go"]).map(Other),
    ),
    max_size=30,
)


class Story:
    """Two tenants at one gateway."""

    def __init__(self, rig: Rig, clients: list[Client]) -> None:
        self.rig = rig
        self.clients = clients
        self.calls: list[tuple[int, Served]] = []
        self.waits = asyncio.Event()

    def scene(self, start: Start) -> Scene | None:
        match start.end:
            case "rejects":
                return Scene(refuses=BackendRejected(400, "no"))
            case "fails":
                return Scene(refuses=BackendFailed())
            case "unreachable":
                return Scene(refuses=BackendUnreachable())
            case "breaks off":
                return Scene(pieces=pieces(start.form, 3), breaks=BackendFailed())
            case "waits":
                return Scene(pieces=pieces(start.form, 2), waits=self.waits)
        return None

    def numbers(self, tenant: int) -> object:
        """Everything that belongs to one tenant."""
        id_ = self.clients[tenant].tenant.id
        windows: list[tuple[str, str, datetime, int, int]] = [
            (scope, window, start, level.used, level.held)
            for (owner, scope, window, start), level in sorted(self.rig.books.windows.items())
            if owner == id_
        ]
        store = self.rig.limits._tenants[id_]
        rates = [
            {scope: (window.total, dict(window.buckets)) for scope, window in kind.items() if window.buckets}
            for kind in (store.calls, store.tokens)
        ]
        slots = {scope: dict(leases) for scope, leases in store.slots.items() if leases}
        audit = [row for row in self.rig.books.audit if row.tenant_id == id_]
        return windows, rates, slots, audit

    async def play(self, event: Start | End | Other) -> None:
        match event:
            case Start(tenant, form, _):
                scene = self.scene(event)
                if scene is not None:
                    self.rig.fakes[len(self.calls) % BACKENDS].play(scene)
                self.calls.append((tenant, self.rig.start(self.clients[tenant], a_call(form))))
            case End(nth, cut) if self.calls:
                self.calls[nth % len(self.calls)][1].live.end(cut)
            case Other(what):
                await self.other(what)

    async def other(self, what: str) -> None:
        match what:
            case "turn":
                await asyncio.sleep(0)
            case "turns":
                await turns_of_the_loop(7)
            case "second":
                self.rig.clock.advance(1)
            case "stale":
                self.rig.ledger.scripted.append(Stale())
            case "flush":
                self.rig.limits.forget(self.clients[0].tenant.id)
            case "survey":
                await self.rig.backends.survey_all()
            case "let go":
                self.waits.set()

    async def end(self) -> None:
        self.waits.set()
        for _, served in self.calls:
            await asyncio.wait([served.live.task])
        await turns_of_the_loop()

    def assert_each_call_left_one_trace(self) -> None:
        for _, served in self.calls:
            settled = [one for one in self.rig.ledger.settlements if one.request_id == served.request_id]
            noted = [note for note in self.rig.journal.notes if note.request_id == served.request_id]
            assert len(settled) <= 1
            assert len(noted) <= 1
            assert settled or noted
            assert served.reply.wrongs == []
            assert all(0 <= one.charge.tokens <= HOLD for one in settled)


async def _two_tenants() -> Story:
    rig = await Rig.of(*(RiggedBackend(f"b{n}", most_in_flight=2) for n in range(BACKENDS)), depth=3, wait_s=5)
    return Story(rig, [await rig.client(name, policy=POLICY, key_policy=POLICY) for name in ("x", "y")])


@settings(max_examples=60)
@given(EVENTS)
def test_no_order_of_events_leaves_anything_behind_or_overspends(events: list[Start | End | Other]) -> None:
    async def story() -> None:
        two = await _two_tenants()
        for event in events:
            await two.play(event)
            for level in two.rig.books.windows.values():
                assert level.used >= 0
                assert level.held >= 0
                assert level.used + level.held <= 9 * HOLD
        await two.end()

        two.rig.assert_nothing_is_left()
        two.assert_each_call_left_one_trace()

    in_no_time(story())


@settings(max_examples=60)
@given(EVENTS, EVENTS)
def test_one_tenants_calls_never_change_anothers_numbers(
    before: list[Start | End | Other], after: list[Start | End | Other]
) -> None:
    async def story() -> None:
        two = await _two_tenants()
        for event in before:
            await two.play(event)
        await two.end()
        numbers = two.numbers(1)
        two.rig.ledger.scripted.clear()
        two.waits = asyncio.Event()

        for event in after:
            if isinstance(event, Start):
                await two.play(attrs.evolve(event, tenant=0))
            else:
                await two.play(event)
            assert two.numbers(1) == numbers
        await two.end()

        assert two.numbers(1) == numbers

    in_no_time(story())
