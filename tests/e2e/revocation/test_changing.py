"""What an operator takes away is gone on every replica when the command has returned, notices or none.

The replicas' clocks differ by twenty minutes, and they decide alike.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from tests.e2e.revocation.hammer import Hammer, admitted, streamed, told
from tests.e2e.revocation.replicas import Notices, Replicas

pytestmark = [pytest.mark.stores, pytest.mark.storm]

CHANGES: Sequence[tuple[tuple[str, ...], tuple[int, str]]] = (
    (("suspend-tenant",), (403, "tenant_suspended")),
    (("set-limits", "--rpm", "1"), (429, "rate_limited")),
    (("set-limits", "--concurrency", "1"), (429, "rate_limited")),
    (("set-budgets", "--total", "1"), (429, "budget_exhausted")),
    (("set-models", "--model", "sim-embed"), (404, "model_not_found")),
    (("set-alias", "--no-validate", "sim-chat", "sim-gone"), (404, "model_not_found")),
)
"""Each takes something away from a tenant whose calls are all alike, and what these are told from then on."""
CUT = (401, "key_cut")
"""What a call is told that had come as far as waiting when its replica heard of the suspension from another's."""


async def test_what_a_command_took_away_no_call_sent_after_it_gets(replicas: Replicas) -> None:
    keys = await replicas.keys(len(CHANGES))
    returned: dict[str, float] = {}

    async def change(*places: int) -> None:
        for place in places:
            (command, *options), _ = CHANGES[place]
            words = (command, "--tenant", keys[place].tenant, *options)
            returned[keys[place].prefix] = await replicas.operator(*words)

    replicas.house.simulator.behave({"behaviour": {"stall_after_objects": 3, "stall_s": 100}, "times": 1})
    at_work = asyncio.create_task(streamed(replicas.urls[0], keys[2]))
    async with asyncio.timeout(30):
        while await asyncio.to_thread(replicas.house.open_holds) == 0:  # noqa: ASYNC110  rows tell nobody
            await asyncio.sleep(0.05)
    async with Hammer(replicas.urls, keys) as hammer:
        await hammer.warm()
        with replicas.losing(Notices.LOST):
            await asyncio.gather(change(0, 2, 4), change(1, 3, 5))
            await hammer.rounds(4)
    at_work.cancel()
    await asyncio.gather(at_work, return_exceptions=True)
    replicas.house.simulator.behave_normally()

    for key, (words, expected) in zip(keys, CHANGES, strict=True):
        after = [call for call in hammer.after(returned[key.prefix], key) if call.model]
        assert {call.replica for call in after} == {0, 1, 2}, words
        assert admitted(after) == [], words
        cut = {CUT} if words == ("suspend-tenant",) else set()
        assert told(after) - cut == {expected}, words


async def test_a_key_expires_at_one_instant_whatever_the_hosts_clocks_say(replicas: Replicas) -> None:
    (key,) = await replicas.keys(1)
    async with Hammer(replicas.urls, [key], per_s=20) as hammer:
        await hammer.warm()
        row = await asyncio.to_thread(
            replicas.house.rows,
            "update api_keys set expires_at = now() + interval '4 s' where prefix = %s returning expires_at",
            key.prefix,
        )
        set_s = time.monotonic()
        left_s = (row[0]["expires_at"] - datetime.now(UTC)).total_seconds()
        expires_s = time.monotonic() + left_s
        await asyncio.sleep(left_s)
        await hammer.rounds(12)

    before = [call for call in hammer.after(set_s, key) if call.answered_s < expires_s]
    after = hammer.after(expires_s, key)
    assert told(before) == {(200, "")}
    assert {call.replica for call in before} == {call.replica for call in after} == {0, 1, 2}
    assert told(after) == {(401, "api_key_expired")}


@pytest.mark.parametrize("notices", [Notices.ARRIVE, Notices.LOST])
async def test_a_model_taken_away_by_plain_sql_is_gone_on_all_replicas(replicas: Replicas, notices: Notices) -> None:
    (key,) = await replicas.keys(1)
    async with Hammer(replicas.urls, [key], per_s=20) as hammer:
        await hammer.warm()
        with replicas.losing(notices):
            await asyncio.to_thread(
                replicas.house.rows, "update tenants set models = '{}' where id = %s", key.tenant_id
            )
            changed_s = time.monotonic()
            async with asyncio.timeout(15):
                while not all_refused(hammer, changed_s):  # noqa: ASYNC110  it tells nobody
                    await asyncio.sleep(0.05)
            later_s = time.monotonic()
            await hammer.rounds(4)

    after = [call for call in hammer.after(later_s, key) if call.model]
    assert told(after) == {(404, "model_not_found")}


def all_refused(hammer: Hammer, since_s: float) -> bool:
    return {call.replica for call in hammer.sent if call.at_s > since_s and call.status == 404} == {0, 1, 2}
