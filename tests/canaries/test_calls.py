"""A crash at every await of a call: its client gets an end, everything taken is given back, and the next is served."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

import attrs
import httpx
import pytest
import uvloop

from entrypoints.embedded import EmbeddedStores
from tests.canaries.audited import wrongs_of
from tests.canaries.crashes import Crash, How
from tests.canaries.running import Running, running
from tests.e2e.hostile.voices import CHATS, MESSAGES, RESPONSES, VOICES, Voice
from tests.e2e.house import House, Key
from tests.figures.record import record
from tests.figures.table import Figure

pytestmark = pytest.mark.stores

CALL = "application.pipeline.Pipeline._serve"
REQUEST = "entrypoints.http1.connection.Http1Connection._serve"
PROMPT = "bandicoot-in-the-prompt"
SAYS = f"cannot serialise {PROMPT!r} for nz_{'Zz9' * 14}"
"""As libraries say it."""
MOST_AWAITS = 80
ENDS = {
    "/api/chat": b'"done":true',
    "/v1/chat/completions": b"[DONE]",
    MESSAGES.path: b"message_stop",
    RESPONSES.path: b"response.completed",
}
"""What a whole stream ends with."""
SPOKEN = [voice for voice in VOICES if voice.path in {*(chat.path for chat in CHATS), MESSAGES.path, RESPONSES.path}]


@pytest.fixture(scope="module")
def house(stores: EmbeddedStores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House.open(stores, tmp_path_factory.mktemp("crashes"), "--tokens=3", "--token-delay-ms=1") as opened:
        yield opened


@attrs.define
class Counted:
    """What many calls came to."""

    crashes: int = 0
    wrong: list[str] = attrs.field(factory=list)
    told: list[str] = attrs.field(factory=list)
    """Request ids that clients have seen."""


@pytest.mark.parametrize("how", [How.RAISES, How.IS_CANCELLED])
@pytest.mark.parametrize("where", [CALL, REQUEST])
def test_a_call_that_crashes_at_any_await_ends_and_leaves_nothing(house: House, where: str, how: How) -> None:
    key = house.new_key()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        counted, log = loop.run(_crash_everywhere(house, key, where, how))
    assert counted.wrong == []
    assert counted.crashes > len(SPOKEN) * 2
    assert PROMPT not in log
    assert wrongs_of(house, key, counted.told) == []
    record(Figure.SERVED_OR_SETTLED_TWICE, "0", good=True, how=f"{counted.crashes} crashes at awaits of calls")


async def _crash_everywhere(house: House, key: Key, where: str, how: How) -> tuple[Counted, str]:
    counted = Counted()
    async with running(house) as gateway:
        for voice in SPOKEN:
            for nth in range(MOST_AWAITS):
                crash = gateway.planner.plan(Crash(where, nth, how, SAYS))
                end = await _ask(gateway, key, voice)
                await gateway.idle()
                if not crash.struck:
                    break
                counted.crashes += 1
                counted.told.append(end.request_id)
                case = f"{voice.name} {where} {how} {nth}"
                counted.wrong += [f"{case}: {wrong}" for wrong in await _wrongs(gateway, key, end)]
            else:
                counted.wrong.append(f"{voice.name}: it never ends")
            gateway.planner.plan_none()
            assert (await _ask(gateway, key, voice)).whole
        await gateway.idle()
        return counted, gateway.log.getvalue()


@attrs.frozen
class End:
    """How a call ended for its client."""

    status: int
    """0: the connection ended without an answer."""
    octets: bytes
    broken: bool
    request_id: str
    whole: bool


async def _ask(gateway: Running, key: Key, voice: Voice) -> End:
    fields = voice.question_fields | {"model": "sim-chat", "stream": voice.streamed}
    said = {"messages": [{"role": "user", "content": PROMPT}]} if "messages" in fields else {"input": PROMPT}
    status, octets, broken, request_id = 0, b"", False, ""
    try:
        async with gateway.client.stream("POST", voice.path, json=fields | said, headers=key.headers) as answer:
            status, request_id = answer.status_code, answer.headers["x-request-id"].removeprefix("req_")
            async for some in answer.aiter_raw():
                octets += some
    except httpx.TransportError:
        broken = True
    ends = ENDS[voice.path] if voice.streamed else b"}"
    whole = status == 200 and not broken and ends in octets
    return End(status, octets, broken, request_id, whole)


async def _wrongs(gateway: Running, key: Key, end: End) -> Sequence[str]:
    found = [f"{end.status} tells the client {PROMPT}"] if PROMPT.encode() in end.octets else []
    if end.broken and not end.octets and end.status:
        found.append("no answer after a head")
    if end.status == 200 and not (end.whole or end.broken or b"error" in end.octets):
        found.append("what the client has looks whole, and is not")
    left = gateway.left_in_stores(key)
    for _ in range(200):
        if not left:
            break
        await asyncio.sleep(0.005)
        left = gateway.left_in_stores(key)
    found += [f"left {left}"] if left else []
    return found
