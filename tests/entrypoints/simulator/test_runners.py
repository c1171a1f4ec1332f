"""Loading, waiting, leaving: the scheduler's facts and what the log says of hang-ups."""

import asyncio
import json
import socket
import struct
from typing import Any

import aiohttp
import pytest

from entrypoints.simulator.behaviours import Behaviour
from entrypoints.simulator.serving import Running
from tests.entrypoints.simulator.conftest import Serve
from tests.entrypoints.simulator.wire import CHAT

SHORT = {**CHAT, "options": {"num_predict": 1}, "stream": False}


async def post(http: aiohttp.ClientSession, backend: Running, body: Any = None, path: str = "/api/chat") -> int:
    async with http.post(backend.url + path, json=body or SHORT) as response:
        await response.read()
        return response.status


async def leave(backend: Running, body: Any, *, after_s: float, reset: bool = False, read: bool = False) -> None:
    """Ask on a socket of our own, then close it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", backend.port)
    octets = json.dumps(body).encode()
    head = f"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(octets)}\r\n\r\n"
    writer.write(head.encode() + octets)
    await writer.drain()
    if read:
        await reader.read(100)
    await asyncio.sleep(after_s)
    if reset:
        own: socket.socket = writer.get_extra_info("socket")
        own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    else:
        writer.write_eof()  # a close with unread bytes would send RST
        await reader.read()
    writer.close()


async def test_a_full_load_queue_is_a_503_and_only_for_loads(serve: Serve, http: aiohttp.ClientSession) -> None:
    backend = await serve(num_parallel=1, max_queue=2, load_delay_s=0.1, token_delay_s=0.01)

    cold = await asyncio.gather(*(post(http, backend) for _ in range(5)))
    warm = await asyncio.gather(*(post(http, backend) for _ in range(5)))

    assert sorted(cold) == [200, 200, 200, 503, 503]
    assert warm == [200] * 5


async def test_a_503_has_the_recorded_words(serve: Serve, http: aiohttp.ClientSession) -> None:
    backend = await serve(max_queue=0, load_delay_s=0.2)
    first = asyncio.create_task(post(http, backend))
    await asyncio.sleep(0.05)

    async with http.post(f"{backend.url}/v1/chat/completions", json=CHAT) as response:
        error = (await response.json())["error"]

    assert response.status == 503
    assert "Retry-After" not in response.headers
    assert error["message"] == "server busy, please try again.  maximum pending requests exceeded"
    assert error["type"] == "api_error"
    assert await first == 200


async def test_slots_are_served_in_order_of_arrival(serve: Serve, http: aiohttp.ClientSession) -> None:
    backend = await serve(num_parallel=1, token_delay_s=0.01)
    await post(http, backend)
    tasks = []
    for _ in range(4):
        tasks.append(asyncio.create_task(post(http, backend)))
        await asyncio.sleep(0.002)
    await asyncio.sleep(0)

    state = await (await http.get(f"{backend.url}/_sim/state")).json()
    await asyncio.gather(*tasks)

    ends = [entry.ended_at_s or 0 for entry in backend.world.entries()]
    assert state["slots_taken"] == {"sim-chat:latest": 1}
    assert state["in_flight"]["sim-chat"] >= 2
    assert ends == sorted(ends)


@pytest.mark.parametrize("hang_up_by", ["rst", "fin"])
async def test_a_hang_up_stops_generation_at_once(serve: Serve, hang_up_by: str) -> None:
    backend = await serve(token_delay_s=0.01, tokens=1000)

    await leave(backend, CHAT, after_s=0.1, reset=hang_up_by == "rst", read=True)
    await asyncio.sleep(0.05)

    (entry,) = backend.world.entries()
    assert (entry.ended, entry.phase) == ("hang-up", "generating")
    assert entry.hang_up_by == hang_up_by
    assert 5 < entry.output_tokens < 20
    assert backend.world.runners.of(backend.world.settings.models[0]).slots_taken == 0


async def test_a_hang_up_in_the_queue_leaves_the_queue(serve: Serve, http: aiohttp.ClientSession) -> None:
    backend = await serve(num_parallel=1, token_delay_s=0.01, tokens=20)
    first = asyncio.create_task(post(http, backend, CHAT))
    await asyncio.sleep(0.03)

    await leave(backend, CHAT, after_s=0.03)
    await asyncio.sleep(0.03)

    assert backend.world.entries()[1].ended == "hang-up"
    assert backend.world.entries()[1].phase == "queued"
    assert await first == 200
    assert await post(http, backend) == 200


async def test_a_hang_up_while_loading_aborts_the_load(serve: Serve, http: aiohttp.ClientSession) -> None:
    backend = await serve(load_delay_s=0.1)

    await leave(backend, CHAT, after_s=0.05)
    await asyncio.sleep(0.1)

    assert backend.world.entries()[0].phase == "loading"
    assert (await (await http.get(f"{backend.url}/api/ps")).json())["models"] == []
    assert await post(http, backend) == 200


async def test_an_abandoned_prompt_keeps_the_runner_busy(serve: Serve, http: aiohttp.ClientSession) -> None:
    backend = await serve(num_parallel=1, prompt_delay_s_per_token=0.001)
    long = {**CHAT, "messages": [{"role": "user", "content": "x" * 1200}]}
    started = asyncio.get_running_loop().time()

    await leave(backend, long, after_s=0.05)
    await asyncio.sleep(0.03)
    slots_taken = backend.world.runners.of(backend.world.settings.models[0]).slots_taken
    await post(http, backend)
    took_s = asyncio.get_running_loop().time() - started

    assert slots_taken == 0
    assert took_s > 0.3
    assert backend.world.entries()[0].phase == "prompt"
    assert backend.world.entries()[0].prompt_tokens == 312


async def test_a_lost_slot_stays_lost_until_reset(serve: Serve, http: aiohttp.ClientSession) -> None:
    backend = await serve(num_parallel=1, token_delay_s=0.01, tokens=100)
    backend.world.script(Behaviour(lose_slot=True), times=1)

    await leave(backend, CHAT, after_s=0.05, read=True)
    await backend.world.until_idle()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(post(http, backend), 0.1)
    await backend.world.until_idle()
    async with http.post(f"{backend.url}/_sim/reset") as response:
        assert response.status == 200

    assert await post(http, backend) == 200


@pytest.mark.parametrize("hang_up_by", ["rst", "fin"])
async def test_where_resets_cost_slots_a_fin_costs_none(serve: Serve, hang_up_by: str) -> None:
    backend = await serve(num_parallel=1, token_delay_s=0.01, tokens=100, resets_cost_slots=True, keep_alive_s=0.01)

    await leave(backend, CHAT, after_s=0.05, reset=hang_up_by == "rst", read=True)
    await backend.world.until_idle()
    await asyncio.sleep(0.05)

    (runner,) = backend.world.runners.by_digest.values()
    assert (runner.slots_taken, runner.is_loaded()) == ((1, True) if hang_up_by == "rst" else (0, False))


async def test_keep_alive_unloads_pins_and_sticks(serve: Serve, http: aiohttp.ClientSession) -> None:
    backend = await serve(keep_alive_s=300)

    async def loaded(**more: Any) -> list[str]:
        await post(http, backend, {**SHORT, **more})
        return [model["expires_at"][:4] for model in (await (await http.get(f"{backend.url}/api/ps")).json())["models"]]

    (year,) = await loaded()
    assert await loaded(keep_alive=0) == []
    (far,) = await loaded(keep_alive=-1)
    assert int(far) - int(year) in {292, 293}
    assert await loaded() == [far]
    assert await loaded(messages=[], keep_alive=0) == []
    assert await loaded(keep_alive="50ms") == [year]
    await asyncio.sleep(0.06)
    assert (await (await http.get(f"{backend.url}/api/ps")).json())["models"] == []


async def test_another_context_length_reloads(serve: Serve, http: aiohttp.ClientSession) -> None:
    backend = await serve(load_delay_s=0.02)

    await post(http, backend, {**SHORT, "options": {"num_ctx": 2048}})
    first = await (await http.get(f"{backend.url}/api/ps")).json()
    await post(http, backend, SHORT, "/v1/chat/completions")
    second = await (await http.get(f"{backend.url}/api/ps")).json()

    assert [answer["models"][0]["context_length"] for answer in (first, second)] == [2048, 4096]


async def test_a_long_prompt_is_cut_to_the_context(serve: Serve, http: aiohttp.ClientSession) -> None:
    backend = await serve(context_length=50)

    async with http.post(
        f"{backend.url}/api/chat", json={**SHORT, "messages": [{"role": "user", "content": "x" * 9000}]}
    ) as response:
        assert (await response.json())["prompt_eval_count"] == 50
