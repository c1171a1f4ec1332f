"""A key that was revoked opens nothing any more, on no replica, from the moment on at which the command returned."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis

from tests.e2e.house import Key
from tests.e2e.revocation.hammer import Hammer, admitted, streamed, told
from tests.e2e.revocation.replicas import Notices, Replicas
from tests.figures.record import record
from tests.figures.table import Figure

pytestmark = [pytest.mark.stores, pytest.mark.storm]

KEYS = 7
REVOKED = (401, "api_key_revoked")
CUT = (401, "key_cut")
"""What a call is told that was on its way in when its replica heard of the change."""


def started_after(replicas: Replicas, key: Key, at_s: float) -> Sequence[Mapping[str, Any]]:
    """Calls on record that took a hold later, by the books alone."""
    at = datetime.now(UTC) - timedelta(seconds=time.monotonic() - at_s)
    return replicas.house.rows(
        "select request_id from audit where key_id = %s and event = 'started' and at > %s", key.id, at
    )


async def revoke_all(replicas: Replicas, hammer: Hammer, keys: Sequence[Key]) -> Mapping[str, float]:
    """Revokes one after another and says when each command had returned.

    The first by the command line, the others by what it calls: to start a program costs more than to revoke.
    """
    returned = {keys[0].prefix: await replicas.operator("revoke-key", "--prefix", keys[0].prefix)}
    for key in keys[1:]:
        await asyncio.to_thread(replicas.house.revoke, key)
        returned[key.prefix] = time.monotonic()
    await hammer.rounds(4)
    return returned


@pytest.mark.parametrize("notices", Notices)
async def test_no_call_sent_after_the_revoke_returned_is_admitted(replicas: Replicas, notices: Notices) -> None:
    keys = await replicas.keys(KEYS + 1)
    revoked, kept = keys[:KEYS], keys[KEYS]
    async with Hammer(replicas.urls, keys) as hammer:
        await hammer.warm()
        with replicas.losing(notices):
            returned = await revoke_all(replicas, hammer, revoked)

    after = [call for key in revoked for call in hammer.after(returned[key.prefix], key)]
    wrong = admitted(after)
    on_record = [row for key in revoked for row in started_after(replicas, key, returned[key.prefix])]
    how = f"{len(after)} calls after {KEYS} revocations, notices {notices.value}"
    record(Figure.ADMITTED_AFTER_REVOKE, str(len(wrong) + len(on_record)), good=not wrong and not on_record, how=how)
    assert wrong == []
    assert on_record == []
    assert {REVOKED} <= told(after) <= {REVOKED, CUT}
    assert {call.replica for call in after} == {0, 1, 2}
    assert told(hammer.after(0, kept)) == {(200, "")}


async def test_nothing_is_admitted_by_what_a_flushed_store_no_longer_knows(replicas: Replicas) -> None:
    keys = await replicas.keys(2)
    async with Hammer(replicas.urls, keys) as hammer:
        await hammer.warm()
        with replicas.losing(Notices.LOST):
            returned_s = await replicas.operator("revoke-key", "--prefix", keys[0].prefix)
            with redis.Redis.from_url(replicas.house.redis_url) as store:
                store.flushall()
            await hammer.rounds(6)

    after = hammer.after(returned_s, keys[0])
    assert after
    assert admitted(after) == []
    assert started_after(replicas, keys[0], returned_s) == []
    assert admitted(hammer.after(returned_s, keys[1]))


async def test_a_revoke_while_redis_is_away_binds_every_call_when_it_is_back(replicas: Replicas) -> None:
    keys = await replicas.keys(2)
    async with Hammer(replicas.urls, keys) as hammer:
        await hammer.warm()
        with replicas.losing(Notices.LOST):
            replicas.redis.refuses = True
            replicas.redis.reset()
            returned_s = await replicas.operator("revoke-key", "--prefix", keys[0].prefix, over_the_line=True)
            replicas.redis.clear()
            await hammer.rounds(12)

    calls = [call for call in hammer.after(returned_s, keys[0]) if call.model]
    assert calls
    assert admitted(calls) == []
    assert REVOKED in told(calls)
    assert started_after(replicas, keys[0], returned_s) == []
    assert admitted(hammer.after(returned_s, keys[1]))


async def test_a_replica_that_slept_through_the_revoke_wakes_to_it(replicas: Replicas) -> None:
    keys = await replicas.keys(2)
    sleeper = replicas.house.gateways[1].pid
    async with Hammer(replicas.urls, keys, per_s=30) as hammer:
        await hammer.warm()
        os.kill(sleeper, signal.SIGSTOP)
        try:
            returned_s = await replicas.operator("revoke-key", "--prefix", keys[0].prefix)
            await asyncio.sleep(0.5)
        finally:
            os.kill(sleeper, signal.SIGCONT)
        await hammer.rounds(6)

    after = hammer.after(returned_s, keys[0])
    assert 1 in {call.replica for call in after}
    assert admitted(after) == []
    assert started_after(replicas, keys[0], returned_s) == []


@pytest.mark.parametrize("notices", [Notices.LOST, Notices.UNHEARD])
async def test_streams_of_a_revoked_key_are_cut_on_all_replicas_and_no_others(
    replicas: Replicas, notices: Notices
) -> None:
    revoked, kept = await replicas.keys(2)
    replicas.house.simulator.behave({"behaviour": {"stall_after_objects": 3, "stall_s": 60}, "times": 6})
    streams = [(key, asyncio.create_task(streamed(url, key))) for key in (revoked, kept) for url in replicas.urls]
    async with asyncio.timeout(30):
        while await asyncio.to_thread(replicas.house.open_holds) < len(streams):  # noqa: ASYNC110  rows tell nobody
            await asyncio.sleep(0.05)
    with replicas.losing(notices):
        returned_s = await replicas.operator("revoke-key", "--prefix", revoked.prefix)
        async with asyncio.timeout(40):
            cut = await asyncio.gather(*(stream for key, stream in streams if key is revoked))
        took_s = max(seen.at_s for seen in cut) - returned_s
    still_open = [stream for key, stream in streams if key is kept and not stream.done()]
    for stream in still_open:
        stream.cancel()
    await asyncio.gather(*still_open, return_exceptions=True)
    replicas.house.simulator.behave_normally()

    how = f"{len(cut)} streams on {len(replicas.urls)} replicas, notices {notices.value}"
    record(Figure.REVOKED_STREAM_CUT, f"{took_s:.1f} s", good=took_s <= 10, how=how)
    assert [seen.code for seen in cut] == ["key_cut"] * len(replicas.urls)
    assert len(still_open) == len(replicas.urls)
    await asyncio.to_thread(replicas.house.settled, 20)
    ends = replicas.house.rows("select outcome, code from audit where key_id = %s and event = 'finished'", revoked.id)
    assert [(end["outcome"], end["code"]) for end in ends] == [("key_cut", "key_cut")] * len(replicas.urls)
