"""The state machine: every step that gateways, operators, faults and time can take, in any order.

A rule takes numbers and lets them choose from what there is; with nothing to choose it does nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from domain.budgets import Budgets
from domain.calls import Bounds
from domain.limits import Limits
from domain.policies import TenantState
from domain.ports.limit_store import Admitted, Empty
from domain.settlement import Charge
from tests.histories import promises
from tests.histories.closing import close
from tests.histories.gateways import Call, Ends, GatewayProcess, Stage
from tests.histories.house import House, new_call

T = TypeVar("T")

STARTS = (
    datetime(2028, 2, 28, 23, 59, 30, tzinfo=UTC),
    datetime(2028, 2, 29, 23, 58, 0, tzinfo=UTC),
    datetime(2027, 2, 28, 23, 59, 58, tzinfo=UTC),
    datetime(2027, 12, 31, 23, 59, 29, tzinfo=UTC),
)
SECONDS = (0.3, 1.0, 1.0, 7.7, 29.0, 31.0, 59.9, 60.0, 61.0, 200.0)
LONG_SPANS = (timedelta(hours=1, minutes=1), timedelta(hours=24), timedelta(days=29))

some = st.integers(0, 11)
fewest = st.sampled_from((1, 2, 3, 5))
tokens = st.integers(0, 12)
limits = st.builds(
    Limits,
    rpm=st.none() | fewest,
    tpm=st.none() | st.integers(1, 60),
    concurrency=st.none() | fewest,
)
budgets = st.builds(
    Budgets,
    daily=st.none() | st.integers(1, 90),
    monthly=st.none() | st.integers(1, 120),
    total=st.none() | st.integers(1, 150),
)


class Histories(RuleBasedStateMachine):
    """One history."""

    open_house: Callable[[datetime], House]

    @initialize(start=st.sampled_from(STARTS), skew_s=st.sampled_from((0, 0, -7, 3600)))
    def begin(self, start: datetime, skew_s: int) -> None:
        self.house = type(self).open_house(start)
        self.house.time.skew = timedelta(seconds=skew_s)
        for tenant in self.house.tenants:
            self._rebuild(self.house.processes[0], tenant.id)

    # -- calls ---------------------------------------------------------------------------------------------------

    @rule(p=some, k=some, prompt=tokens, output=tokens, factor=st.sampled_from((1, 1, 3)), through=st.booleans())
    def ask(self, p: int, k: int, prompt: int, output: int, factor: int, through: bool) -> None:  # noqa: FBT001  Hypothesis names it
        process, key = _pick(self.house.processes, p), _pick(self.house.keys, k)
        caller = self.house.identify(process, key)
        if caller is None:
            return
        call = new_call(process, caller, Bounds(prompt=prompt, output=output, output_factor=factor))
        verdict = self.house.ask(call)
        if isinstance(verdict, Admitted) and through:
            self.house.send(process)
        elif isinstance(verdict, Empty) and through:
            self._rebuild(process, caller.tenant_id)

    @rule(p=some, k=some, prompt=tokens, output=tokens, many=st.integers(2, 6))
    def ask_for_many(self, p: int, k: int, prompt: int, output: int, many: int) -> None:
        for _ in range(many):
            self.ask(p, k, prompt, output, 1, through=False)
        self.house.send(_pick(self.house.processes, p))

    @rule(which=some)
    def ask_the_same_again(self, which: int) -> None:
        for call in self._calls(Stage.ADMITTED, Stage.ASKED_LEDGER, Stage.HELD)[which:][:1]:
            self.house.ask_again(call)

    @rule(p=some)
    def send(self, p: int) -> None:
        self.house.send(_pick(self.house.processes, p))

    @rule(p=some, arrives=st.booleans())
    def send_and_lose_the_answer(self, p: int, arrives: bool) -> None:  # noqa: FBT001  Hypothesis names it
        self.house.send(_pick(self.house.processes, p), arrives=arrives, is_answered=False)

    @rule(p=some)
    def give_up_waiting_for_the_ledger(self, p: int) -> None:
        process = _pick(self.house.processes, p)
        if process.unanswered is not None:
            for call in process.unanswered[1]:
                if call.stage is Stage.ASKED_LEDGER:
                    call.gives_up()

    @rule(which=some, objects=st.integers(1, 6))
    def chunk(self, which: int, objects: int) -> None:
        for call in self._calls(Stage.HELD)[which:][:1]:
            call.passes(objects)

    @rule(which=st.integers(0, 3), how=st.sampled_from(Ends), reported=tokens, through=st.booleans())
    def end(self, which: int, how: Ends, reported: int, through: bool) -> None:  # noqa: FBT001  Hypothesis names it
        for call in self._calls(Stage.HELD)[which:][:1]:
            call.ends(how, reported=reported)
            if through:
                self.house.deliver(call.process)
                self.house.send(call.process)

    @rule(which=st.integers(0, 3), prompt=st.integers(-50, 500), output=st.integers(-50, 500))
    def end_with_absurd_numbers(self, which: int, prompt: int, output: int) -> None:
        for call in self._calls(Stage.HELD)[which:][:1]:
            call.ends_absurdly(Charge(prompt=prompt, output=output))

    @rule(which=some)
    def settle_again(self, which: int) -> None:
        over = [call for call in self.house.calls if call.settlement is not None]
        for call in over[which:][:1]:
            unsent = call.settlement in call.process.settles or call.process.unanswered is not None
            if call.settlement is not None and not unsent and call.process in self.house.processes:
                self.house.send_again(call.process, call.settlement)

    @rule(p=some, twice=st.booleans())
    def deliver(self, p: int, twice: bool) -> None:  # noqa: FBT001  Hypothesis names it
        self.house.deliver(_pick(self.house.processes, p), twice=twice)

    # -- upkeep --------------------------------------------------------------------------------------------------

    @rule(p=some)
    def beat(self, p: int) -> None:
        self.house.books.beat(_pick(self.house.processes, p).id)

    @rule(p=some)
    def renew_slots(self, p: int) -> None:
        self.house.renew(_pick(self.house.processes, p))

    @rule()
    def reap(self) -> None:
        self.house.books.reap()
        self.house.touched |= {hold.tenant_id for hold in self.house.seen.holds}

    @rule()
    def forget_the_dead(self) -> None:
        self.house.books.forget_the_dead()
        self.house.touched |= {hold.tenant_id for hold in self.house.seen.holds}

    # -- losses --------------------------------------------------------------------------------------------------

    @rule(p=some)
    def crash(self, p: int) -> None:
        self.house.crash(_pick(self.house.processes, p))

    @rule(flushed=st.booleans())
    def lose_windows(self, flushed: bool) -> None:  # noqa: FBT001  Hypothesis names it
        self.house.lose_windows(flushed=flushed)

    @rule(p=some, t=some)
    def read_facts(self, p: int, t: int) -> None:
        tenant = _pick(self.house.tenants, t)
        if tenant.filled is None:
            self.house.read_facts(_pick(self.house.processes, p), tenant)

    @rule(which=some)
    def restore(self, which: int) -> None:
        for process, tenant_id in self._facts()[which % 3 :][:1]:
            self.house.restore(process, self.house.tenant_of(tenant_id))

    @rule(t=some, p=some, q=some, later_first=st.booleans(), survivors=st.integers(0, 2))
    def two_find_nothing(self, t: int, p: int, q: int, later_first: bool, survivors: int) -> None:  # noqa: FBT001  Hypothesis names it
        """After a flush, both read what is to be restored; they restore in either order, or are killed before."""
        tenant = _pick(self.house.tenants, t)
        self.house.lose_windows(flushed=True)
        pair = [_pick(self.house.processes, p), _pick(self.house.processes, q)]
        for process in pair:
            self.house.read_facts(process, tenant)
        for process in (pair[::-1] if later_first else pair)[:survivors]:
            if tenant.id in process.facts:
                self.house.restore(process, tenant)

    @rule(p=some, t=some)
    def rebuild(self, p: int, t: int) -> None:
        tenant = _pick(self.house.tenants, t)
        if tenant.filled is None:
            self._rebuild(_pick(self.house.processes, p), tenant.id)

    # -- the operator --------------------------------------------------------------------------------------------

    @rule(s=st.integers(0, 5), limits=limits)
    def change_limits(self, s: int, limits: Limits) -> None:
        self.house.change(self.house.scopes[s], limits=limits)

    @rule(s=st.integers(0, 5), budgets=budgets)
    def change_budgets(self, s: int, budgets: Budgets) -> None:
        self.house.change(self.house.scopes[s], budgets=budgets)

    @rule(k=some)
    def revoke(self, k: int) -> None:
        key = _pick(self.house.keys, k)
        key.revoked = True
        self.house.books.revoke(key.prefix)
        self.house.tell(key)

    @rule(t=some, state=st.sampled_from(TenantState))
    def suspend_or_resume(self, t: int, state: TenantState) -> None:
        tenant = _pick(self.house.tenants, t)
        tenant.state = state
        self.house.books.set_state(tenant.id, state)
        self.house.tell(tenant)

    @rule(k=some, seconds=st.sampled_from((0, 1, 30, 3600)))
    def let_expire(self, k: int, seconds: int) -> None:
        key = _pick(self.house.keys, k)
        key.expires_at = self.house.time.now + timedelta(seconds=seconds)
        self.house.books.expire(key.prefix, key.expires_at)
        self.house.tell(key)

    # -- time ----------------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from(SECONDS))
    def wait(self, seconds: float) -> None:
        self.house.time.advance(timedelta(seconds=seconds))

    @rule(seconds=st.sampled_from((5.0, 9.0)), times=st.integers(1, 8))
    def wait_with_every_heart_beating(self, seconds: float, times: int) -> None:
        for _ in range(times):
            self.house.time.advance(timedelta(seconds=seconds))
            for process in self.house.processes:
                self.house.books.beat(process.id)
                self.house.renew(process)

    @rule(span=st.sampled_from(LONG_SPANS))
    def wait_long(self, span: timedelta) -> None:
        self.house.time.advance(span)

    # -- what must be true ---------------------------------------------------------------------------------------

    @invariant()
    def every_promise_is_kept(self) -> None:
        house = self.house
        house.look()
        promises.no_budget_is_ever_overdrawn(house.before, house.seen, house.budgets())
        promises.every_token_in_the_windows_belongs_to_a_call(house.seen, house.budget_ids())
        promises.whoever_was_served_is_on_record_once(house.seen, house.calls)
        promises.every_hold_is_closed_once(house.seen)
        promises.a_charge_is_what_room_8_made_of_it(house.seen, house.calls)
        for nth, tenant in enumerate(house.tenants):
            if tenant.id not in house.touched:
                before, now = house.before.of(tenant.id), house.seen.of(tenant.id)
                promises.nobody_changes_what_is_anothers(before, now, house.kept_before[nth], house.kept[nth])
        house.touched.clear()

    def teardown(self) -> None:
        if hasattr(self, "house"):
            close(self.house)

    # -- helpers -------------------------------------------------------------------------------------------------

    def _rebuild(self, process: GatewayProcess, tenant_id: str) -> None:
        tenant = self.house.tenant_of(tenant_id)
        self.house.read_facts(process, tenant)
        self.house.restore(process, tenant)

    def _facts(self) -> Sequence[tuple[GatewayProcess, str]]:
        return [(process, tenant_id) for process in self.house.processes for tenant_id in process.facts]

    def _calls(self, *stages: Stage) -> Sequence[Call]:
        return [call for call in self.house.calls if call.stage in stages]


def _pick(of: Sequence[T], number: int) -> T:
    return of[number % len(of)]
