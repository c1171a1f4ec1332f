"""The lane gives each question its own reply, whoever leaves in between."""

from __future__ import annotations

import asyncio
import random
import time

import pytest
from redis.exceptions import ResponseError

from adapters.redis.lane import Lane
from adapters.redis.scripts import Scripts
from adapters.redis.words import packed
from domain.faults import StoreUnavailable

pytestmark = pytest.mark.stores


async def _echo(lane: Lane, nonce: str) -> bool:
    return await lane.ask(packed("ECHO", nonce)) == nonce.encode()


@pytest.mark.storm
async def test_of_10_000_cancelled_at_random_none_gets_anothers_reply(lane: Lane) -> None:
    dice = random.Random(7)  # noqa: S311 - which to cancel is no secret
    right = cancelled = 0
    for round_ in range(100):
        tasks = [asyncio.create_task(_echo(lane, f"{round_}-{at}")) for at in range(200)]
        for _ in range(dice.randrange(4)):
            await asyncio.sleep(0)
        for task in dice.sample(tasks, 100):
            task.cancel()
        for end in await asyncio.gather(*tasks, return_exceptions=True):
            cancelled += isinstance(end, asyncio.CancelledError)
            assert end is True or isinstance(end, asyncio.CancelledError)
            right += end is True

    assert cancelled > 5_000
    assert right + cancelled == 20_000
    assert await _echo(lane, "last")


async def test_an_error_reply_fails_only_its_own_question(lane: Lane) -> None:
    first, wrong, last = lane.ask(packed("ECHO", "a")), lane.ask(packed("NOSUCH")), lane.ask(packed("ECHO", "b"))

    assert await first == b"a"
    with pytest.raises(StoreUnavailable) as refused:
        await wrong
    assert isinstance(refused.value.__cause__, ResponseError)
    assert await last == b"b"


async def test_large_replies_come_whole(lane: Lane) -> None:
    text = "x" * 300_000

    assert await lane.ask(packed("ECHO", text)) == text.encode()


async def test_a_loop_that_was_held_up_does_not_count_against_the_store(lane: Lane) -> None:
    answer = lane.ask(packed("ECHO", "a"))
    await asyncio.sleep(0.001)

    time.sleep(0.15)  # noqa: ASYNC251 - the point

    assert await answer == b"a"


async def test_closing_waits_for_what_was_handed_in(lane: Lane) -> None:
    answers = [lane.ask(packed("ECHO", str(at))) for at in range(100)]

    await lane.aclose()

    assert [await answer for answer in answers] == [str(at).encode() for at in range(100)]


async def test_before_the_start_all_questions_fail(scripts: Scripts) -> None:
    lane = Lane("unix:///nowhere", scripts)

    with pytest.raises(StoreUnavailable):
        lane.ask(packed("PING"))
    await lane.start()
    with pytest.raises(StoreUnavailable):
        lane.ask(packed("PING"))
    await lane.aclose()
