"""What every reader of usage does. A test module subclasses the contract and gives it a `bench`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

import attrs
import pytest

from domain.budgets import Budgets
from domain.ports.registers import ApiKey, Unknown
from domain.ports.usage_reader import MOST_SPANS, Activity, BackendFlow, Flow, Span, TooManySpans, UsageReader
from domain.settlement import Charge
from tests.contracts.budget_ledger import START, LedgerBench, a_hold, an_end


@attrs.frozen(kw_only=True)
class UsageBench:
    """A reader and the ledger of the same books, with a clock that stands at `START`."""

    reader: UsageReader
    books: LedgerBench
    refuse: Callable[[ApiKey, int], Awaitable[None]]
    """Writes one line that stands for so many refusals."""

    async def call(self, key: ApiKey, prompt: int = 10, output: int = 5) -> None:
        hold = a_hold(key, prompt=prompt, output=output + 20)
        await self.books.ledger.hold(hold)
        await self.books.settled(an_end(hold, Charge(prompt=prompt, output=output)))

    async def activity(self, most_tenants: int = 10) -> Activity:
        return await self.reader.activity(alive_within_s=60, most_tenants=most_tenants)


class UsageContract:
    # ---- by time ----

    @pytest.mark.parametrize(
        ("by", "back"),
        [(Span.HOUR, timedelta(hours=2)), (Span.DAY, timedelta(days=2)), (Span.MONTH, timedelta(days=59))],
    )
    async def test_use_stands_in_its_own_span_and_empty_ones_are_there(
        self, bench: UsageBench, by: Span, back: timedelta
    ) -> None:
        key = await bench.books.a_key()
        await bench.books.clock.set(START)
        await bench.call(key, 10, 5)
        await bench.call(key, 1, 1)
        await bench.refuse(key, 7)
        await bench.books.clock.advance(back)
        await bench.call(key, 100, 0)

        uses = await bench.reader.by_time(key.tenant_name, by=by, since=START)

        assert [(use.calls, use.prompt_tokens, use.output_tokens, use.refused) for use in uses] == [
            (2, 11, 6, 7),
            (0, 0, 0, 0),
            (1, 100, 0, 0),
        ]
        assert uses[0].starts <= START
        assert uses[1].starts > START

    async def test_the_end_is_left_out(self, bench: UsageBench) -> None:
        key = await bench.books.a_key()
        await bench.books.clock.set(START)
        await bench.call(key)

        uses = await bench.reader.by_time(key.tenant_name, by=Span.HOUR, since=START - timedelta(hours=2), until=START)

        assert [use.calls for use in uses] == [0, 0]

    async def test_one_key_is_summed_by_itself(self, bench: UsageBench) -> None:
        key = await bench.books.a_key()
        other = await bench.books.another_key(key.tenant_name)
        await bench.books.clock.set(START)
        await bench.call(key, 10, 0)
        await bench.call(other, 100, 0)

        since = START - timedelta(minutes=1)
        own = await bench.reader.by_time(key.tenant_name, by=Span.DAY, since=since, key_prefix=key.prefix)
        all_keys = await bench.reader.by_time(key.tenant_name, by=Span.DAY, since=since)

        assert [use.prompt_tokens for use in own] == [10]
        assert [use.prompt_tokens for use in all_keys] == [110]

    async def test_another_tenants_use_is_not_counted_and_its_key_is_unknown(self, bench: UsageBench) -> None:
        key, stranger = await bench.books.a_key(), await bench.books.a_key()
        await bench.books.clock.set(START)
        await bench.call(stranger)

        uses = await bench.reader.by_time(key.tenant_name, by=Span.DAY, since=START)

        assert sum(use.calls for use in uses) == 0
        with pytest.raises(Unknown):
            await bench.reader.by_time(key.tenant_name, by=Span.DAY, since=START, key_prefix=stranger.prefix)
        with pytest.raises(Unknown):
            await bench.reader.by_time("nobody", by=Span.DAY, since=START)

    async def test_more_spans_than_anybody_reads_are_refused(self, bench: UsageBench) -> None:
        key = await bench.books.a_key()
        await bench.books.clock.set(START)

        with pytest.raises(TooManySpans, match=f"{MOST_SPANS:,} are the most"):
            await bench.reader.by_time(key.tenant_name, by=Span.HOUR, since=START - timedelta(days=365))

    # ---- by tenant ----

    async def test_tenants_come_by_what_they_used_this_month_and_no_more_than_asked(self, bench: UsageBench) -> None:
        await bench.books.clock.set(START - timedelta(days=1))
        little = await bench.books.a_key(tenant=Budgets(daily=500, monthly=9000))
        much, none = await bench.books.a_key(), await bench.books.a_key()
        await bench.call(little, 5, 0)
        await bench.books.clock.set(START)
        await bench.call(little, 10, 0)
        await bench.call(much, 100, 0)
        await bench.books.ledger.hold(a_hold(little, prompt=10, output=90))

        uses = await bench.reader.by_tenant(9)

        assert [use.tenant_name for use in uses] == [much.tenant_name, little.tenant_name, none.tenant_name]
        assert attrs.astuple(uses[1])[1:] == ("active", 10, 500, 15, 9000, 100)
        assert [use.tenant_name for use in await bench.reader.by_tenant(1)] == [much.tenant_name]

    async def test_without_a_tenant_there_is_nothing_to_show(self, bench: UsageBench) -> None:
        assert await bench.reader.by_tenant(9) == []

    # ---- now ----

    async def test_nothing_happens_in_an_empty_house(self, bench: UsageBench) -> None:
        await bench.books.clock.set(START)

        activity = await bench.activity()

        assert activity.minute == activity.ten_seconds == Flow(calls=0, refused=0, tokens=0)
        assert (activity.in_flight, activity.oldest_s, activity.tenants, activity.backends) == (0, None, [], [])

    async def test_a_tenant_that_was_only_made_does_nothing(self, bench: UsageBench) -> None:
        await bench.books.clock.set(START)
        await bench.books.a_key()

        assert (await bench.activity()).tenants == []

    async def test_the_last_seconds_and_the_last_minute_are_told_apart(self, bench: UsageBench) -> None:
        key = await bench.books.a_key(tenant=Budgets(daily=1000))
        await bench.books.clock.set(START)
        await bench.call(key, 10, 5)
        await bench.refuse(key, 3)
        await bench.books.clock.advance(timedelta(seconds=30))
        await bench.call(key, 100, 0)

        activity = await bench.activity()

        assert activity.at == START + timedelta(seconds=30)
        assert activity.ten_seconds == Flow(calls=1, refused=0, tokens=100)
        assert activity.minute == Flow(calls=2, refused=3, tokens=115)
        assert activity.backends == [BackendFlow(backend="gpu-1", ten_seconds=100, minute=115)]
        (flow,) = activity.tenants
        assert flow.minute == activity.minute
        assert (flow.tenant_name, flow.in_flight, flow.today, flow.daily) == (key.tenant_name, 0, 115, 1000)

    async def test_what_is_over_a_minute_ago_is_gone(self, bench: UsageBench) -> None:
        key = await bench.books.a_key()
        await bench.books.clock.set(START)
        await bench.call(key)
        await bench.books.clock.advance(timedelta(seconds=61))

        assert (await bench.activity()).tenants == []

    async def test_a_call_in_flight_is_seen_with_its_age(self, bench: UsageBench) -> None:
        key, idle = await bench.books.a_key(), await bench.books.a_key()
        await bench.books.clock.set(START)
        await bench.call(idle)
        await bench.books.ledger.hold(a_hold(key))
        await bench.books.clock.advance(timedelta(seconds=90))
        await bench.books.ledger.hold(a_hold(key))

        activity = await bench.activity()

        assert (activity.in_flight, activity.oldest_s) == (2, 90.0)
        assert [(flow.tenant_name, flow.in_flight) for flow in activity.tenants] == [(key.tenant_name, 2)]

    async def test_the_busiest_tenants_are_shown_and_no_more(self, bench: UsageBench) -> None:
        keys = [await bench.books.a_key() for _ in range(3)]
        await bench.books.clock.set(START)
        for nth, key in enumerate(keys):
            await bench.call(key, 10 * (nth + 1), 0)

        activity = await bench.activity(most_tenants=2)

        assert [flow.tenant_name for flow in activity.tenants] == [keys[2].tenant_name, keys[1].tenant_name]
