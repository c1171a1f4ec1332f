"""The FIFO: a settlement never comes before its hold, nor in one batch with it."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from adapters.postgres.lane_queue import Asked, LaneQueue, Settled
from domain.ports.budget_ledger import Granted


def asked(request_id: str) -> Asked:
    return Asked(request_id, b"{}", asyncio.get_running_loop().create_future())


async def test_a_settlement_waits_for_the_batch_after_its_hold() -> None:
    queue = LaneQueue(10)
    first, second = asked("a"), asked("b")
    end = Settled("a", b"{}")
    for entry in (first, end, second):
        queue.add(entry)

    assert queue.take().entries == [first]
    assert queue.take().entries == [end, second]


async def test_who_has_left_before_it_was_sent_is_not_sent() -> None:
    queue = LaneQueue(10)
    gone, here = asked("a"), asked("b")
    queue.add(gone)
    queue.add(here)
    gone.verdict.cancel()

    assert queue.take().entries == [here]


async def test_a_settlement_that_failed_alone_goes_alone() -> None:
    queue = LaneQueue(10)
    before, suspect, after = Settled("a", b""), Settled("b", b"", alone=True), Settled("c", b"")
    for entry in (before, suspect, after):
        queue.add(entry)

    assert [queue.take().entries for _ in range(3)] == [[before], [suspect], [after]]


async def test_failing_those_who_wait_keeps_the_settlements() -> None:
    queue = LaneQueue(10)
    waiting, end = asked("a"), Settled("b", b"")
    queue.add(waiting)
    queue.add(end)

    queue.fail_asked("closed")

    assert waiting.verdict.exception() is not None
    assert queue.take().entries == [end]


async def test_who_has_left_is_told_nothing() -> None:
    gone = asked("a")
    gone.verdict.cancel()

    gone.complete(Granted(output_tokens=1))
    gone.fail("closed")

    assert gone.verdict.cancelled()


@given(ids=st.lists(st.sampled_from("abcdef"), max_size=40), most=st.integers(1, 8), returned=st.integers(0, 5))
def test_batches_keep_the_order_and_no_id_comes_twice_in_one(ids: list[str], most: int, returned: int) -> None:
    queue = LaneQueue(most)
    entries = [Settled(request_id, b"x") for request_id in ids]
    for entry in entries:
        queue.add(entry)

    seen: list[Asked | Settled] = []
    while queue:
        batch = queue.take()
        in_batch = [entry.request_id for entry in batch.entries]
        assert 0 < len(in_batch) == len(set(in_batch)) <= most
        if returned:
            returned -= 1
            queue.put_back(batch.entries)
        else:
            seen += batch.entries

    assert seen == entries
