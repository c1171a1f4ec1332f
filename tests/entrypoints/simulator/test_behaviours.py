"""Each scripted oddity, as a client sees it."""

import asyncio
import gzip
import json
from typing import Any

import aiohttp
import attrs
import pytest

from entrypoints.simulator.behaviours import HEALTHY, Behaviour, Counts, Ending, Script
from tests.entrypoints.simulator.conftest import Serve
from tests.entrypoints.simulator.wire import (
    CHAT,
    chunks_of,
    native_lines,
    raw_chunks,
    read_till_broken,
    sse_events,
    text_of,
)

STREAMED = {**CHAT, "stream": True, "stream_options": {"include_usage": True}}


async def native(http: aiohttp.ClientSession, url: str, **more: Any) -> list[bytes]:
    async with http.post(f"{url}/api/chat", json={**CHAT, **more}) as response:
        return await chunks_of(response)


async def test_writes_may_be_one_byte_each(serve: Serve, http: aiohttp.ClientSession) -> None:
    backend = await serve(tokens=3)
    healthy = b"".join(await native(http, backend.url))
    backend.world.script(Behaviour(write_bytes=(1,)))

    chunks = await raw_chunks(backend.port, CHAT)

    assert all(len(chunk) == 1 for chunk in chunks)
    assert text_of(native_lines(b"".join(chunks))) == text_of(native_lines(healthy))


async def test_writes_may_have_given_sizes(serve: Serve) -> None:
    backend = await serve(tokens=3)
    backend.world.script(Behaviour(write_bytes=(5, 7)))

    chunks = await raw_chunks(backend.port, CHAT)

    assert [len(chunk) for chunk in chunks[:4]] == [5, 7, 7, 7]


async def test_objects_may_share_a_write(serve: Serve, http: aiohttp.ClientSession) -> None:
    backend = await serve(tokens=7)
    backend.world.script(Behaviour(coalesce_objects=4))

    chunks = await native(http, backend.url)

    assert [chunk.count(b"\n") for chunk in chunks] == [4, 4]


async def test_the_first_byte_may_wait(serve: Serve, http: aiohttp.ClientSession) -> None:
    backend = await serve()
    backend.world.script(Behaviour(first_byte_delay_s=0.15))
    started = asyncio.get_running_loop().time()

    async with http.post(f"{backend.url}/api/chat", json=CHAT):
        head_after_s = asyncio.get_running_loop().time() - started

    assert head_after_s >= 0.15


async def test_the_head_may_trickle(serve: Serve, http: aiohttp.ClientSession) -> None:
    backend = await serve(tokens=3)
    backend.world.script(Behaviour(headers_trickle_s=0.1))

    assert len(native_lines(b"".join(await native(http, backend.url)))) == 4
    assert await native(http, backend.url, stream=False)


async def test_a_stream_may_stall_for_ever(serve: Serve, http: aiohttp.ClientSession) -> None:
    backend = await serve()
    backend.world.script(Behaviour(stall_after_objects=2))

    async with http.post(f"{backend.url}/api/chat", json=CHAT) as response:
        lines = [await response.content.readline() for _ in range(2)]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(response.content.readline(), 0.1)
    await backend.world.until_idle()

    assert len(lines) == 2
    assert backend.world.entries()[0].ended == "hang-up"


async def test_a_stream_may_stall_for_a_while(serve: Serve, http: aiohttp.ClientSession) -> None:
    backend = await serve(tokens=4)
    backend.world.script(Behaviour(stall_after_objects=2, stall_s=0.05))

    assert len(await native(http, backend.url)) == 5


@pytest.mark.parametrize("ending", [Ending.RESET, Ending.CLOSE])
@pytest.mark.parametrize("lines", [3, 0])
async def test_a_connection_may_break(ending: Ending, lines: int, serve: Serve, http: aiohttp.ClientSession) -> None:
    backend = await serve()
    backend.world.script(Behaviour(ending=ending, end_after_objects=3))

    async with http.post(f"{backend.url}/api/chat", json={**CHAT, "stream": lines > 0}) as response:
        got, broken = await read_till_broken(response)

    assert got.count(b"\n") == lines
    assert isinstance(broken, aiohttp.ClientPayloadError | aiohttp.ClientOSError)
    assert ("reset by peer" in str(broken)) == (ending is Ending.RESET)
    (entry,) = backend.world.entries()
    assert (entry.ended, entry.output_tokens) == ("scripted", 3)


async def test_http_may_end_properly_without_a_done_object(serve: Serve, http: aiohttp.ClientSession) -> None:
    backend = await serve()
    backend.world.script(Behaviour(ending=Ending.MISSING_DONE, end_after_objects=3))

    lines = native_lines(b"".join(await native(http, backend.url)))
    plain = json.loads(b"".join(await native(http, backend.url, stream=False)))
    openai = await (await http.post(f"{backend.url}/v1/chat/completions", json=CHAT)).json()

    assert [line["done"] for line in lines] == [False] * 3
    assert plain["done"] is False
    assert "eval_count" not in plain
    assert openai["choices"][0]["finish_reason"] is None
    assert openai["usage"]["total_tokens"] == 0


async def test_a_failure_is_a_line_or_is_swallowed(serve: Serve, http: aiohttp.ClientSession) -> None:
    backend = await serve()
    backend.world.script(Behaviour(ending=Ending.FAILURE, end_after_objects=2))

    lines = native_lines(b"".join(await native(http, backend.url)))
    async with http.post(f"{backend.url}/v1/chat/completions", json=STREAMED) as response:
        events = sse_events(await response.read())

    assert lines[-1] == {"error": "an error was encountered while running the model: unexpected EOF"}
    assert [event["model"] for event in events] == ["sim-chat", "sim-chat", ""]


async def test_garbage_may_come_in_mid_stream(serve: Serve, http: aiohttp.ClientSession) -> None:
    backend = await serve()
    backend.world.script(Behaviour(ending=Ending.GARBAGE, end_after_objects=1))

    assert (await native(http, backend.url))[-1].startswith(b"<html>")


async def test_generation_may_never_end(serve: Serve, http: aiohttp.ClientSession) -> None:
    backend = await serve()
    backend.world.script(Behaviour(endless=True))

    async with http.post(f"{backend.url}/api/chat", json={**CHAT, "options": {"num_predict": 2}}) as response:
        for _ in range(200):
            assert not json.loads(await response.content.readline())["done"]
    await backend.world.until_idle()

    (entry,) = backend.world.entries()
    assert entry.ended == "hang-up"
    assert entry.output_tokens >= 200


@pytest.mark.parametrize(
    ("counts", "stated"),
    [
        (Counts.ABSENT, (None, None)),
        (Counts.NO_PROMPT, (None, 24)),
        (Counts.NO_OUTPUT, (15, None)),
        (Counts.NEGATIVE, (-5, -5)),
        (Counts.HUGE, (10**12, 10**12)),
        (Counts.TEXT, ("12", "12")),
    ],
)
async def test_counts_may_lie_but_not_the_log(
    counts: Counts, stated: tuple[object, object], serve: Serve, http: aiohttp.ClientSession
) -> None:
    backend = await serve()
    backend.world.script(Behaviour(counts=counts))

    final = native_lines(b"".join(await native(http, backend.url)))[-1]
    async with http.post(f"{backend.url}/v1/chat/completions", json=STREAMED) as response:
        *_, usage, _done = sse_events(await response.read())

    assert (final.get("prompt_eval_count"), final.get("eval_count")) == stated
    assert ("usage" in usage) == (counts is not Counts.ABSENT)
    assert {(entry.prompt_tokens, entry.output_tokens) for entry in backend.world.entries()} == {(15, 24)}


async def test_a_line_may_have_megabytes(serve: Serve, http: aiohttp.ClientSession) -> None:
    backend = await serve()
    backend.world.script(Behaviour(huge_line_bytes=8_000_000))

    lines = native_lines(b"".join(await native(http, backend.url)))

    assert len(lines[0]["message"]["content"]) == 8_000_000
    assert len(lines) == 25


async def test_a_status_may_be_forced(serve: Serve, http: aiohttp.ClientSession) -> None:
    backend = await serve()
    backend.world.script(Behaviour(status=500), times=1)
    backend.world.script(Behaviour(status=503, body="<html>busy</html>", content_type="text/html"), times=1)
    backend.world.script(Behaviour(body="not json at all"), times=1)

    answers = []
    for _ in range(3):
        async with http.post(f"{backend.url}/v1/chat/completions", json=CHAT) as response:
            answers.append((response.status, response.content_type, await response.read()))

    assert answers[0][0] == 500
    assert json.loads(answers[0][2])["error"]["type"] == "api_error"
    assert answers[1] == (503, "text/html", b"<html>busy</html>")
    assert answers[2] == (200, "application/json", b"not json at all")


async def test_an_answer_may_be_compressed_redirected_or_mistyped(serve: Serve, http: aiohttp.ClientSession) -> None:
    backend = await serve(tokens=3)
    backend.world.script(Behaviour(gzip=True), times=1)
    backend.world.script(Behaviour(redirect_to="http://127.0.0.1:9/elsewhere"), times=1)
    backend.world.script(Behaviour(content_type="text/html"), times=1)

    async with http.post(f"{backend.url}/api/chat", json=CHAT) as compressed:
        assert compressed.headers["Content-Encoding"] == "gzip"
        assert len(native_lines(gzip.decompress(await compressed.read()))) == 4
    async with http.post(f"{backend.url}/api/chat", json=CHAT, allow_redirects=False) as redirected:
        assert (redirected.status, redirected.headers["Location"]) == (307, "http://127.0.0.1:9/elsewhere")
    async with http.post(f"{backend.url}/api/chat", json=CHAT) as mistyped:
        assert mistyped.content_type == "text/html"
        await mistyped.read()


async def test_a_header_may_be_echoed(serve: Serve, http: aiohttp.ClientSession) -> None:
    backend = await serve()
    backend.world.script(Behaviour(echo_header="Authorization"))

    async with http.post(f"{backend.url}/api/chat", json=CHAT, headers={"Authorization": "Bearer s"}) as response:
        assert text_of(native_lines(await response.read())).startswith("Bearer s")


async def test_a_script_is_for_its_model_path_and_times(serve: Serve, http: aiohttp.ClientSession) -> None:
    backend = await serve()
    backend.world.script(Behaviour(status=500), model="sim-chat", times=1)
    backend.world.script(Behaviour(status=502), path="/api/tags")

    async def status(method: str, path: str, **more: Any) -> int:
        async with http.request(method, backend.url + path, **more) as response:
            return response.status

    assert await status("POST", "/api/chat", json={**CHAT, "model": "sim-think"}) == 200
    assert await status("POST", "/api/chat", json=CHAT) == 500
    assert await status("POST", "/api/chat", json=CHAT) == 200
    assert await status("GET", "/api/tags") == 502
    backend.world.clear_scripts()
    assert await status("GET", "/api/tags") == 200


async def test_remote_control_scripts_and_reports(serve: Serve, http: aiohttp.ClientSession) -> None:
    backend = await serve()
    script = {"behaviour": {"ending": "failure", "end_after_objects": 1, "write_bytes": [3]}, "times": 1}

    for posted, status in (
        (script, 200),
        ({"behaviour": {"nonsense": 1}}, 400),
        ({"behaviour": {"status": "x"}}, 400),
        ([], 400),
    ):
        async with http.post(f"{backend.url}/_sim/behaviour", json=posted) as response:
            assert response.status == status
    state = await (await http.get(f"{backend.url}/_sim/state")).json()
    lines = native_lines(b"".join(await native(http, backend.url)))
    log = await (await http.get(f"{backend.url}/_sim/log?reset=1")).json()

    assert state["scripts"][0]["times"] == 1
    assert state["open_connections"] >= 1
    assert "error" in lines[1]
    assert [entry["ended"] for entry in log["entries"]] == ["scripted"]
    assert log["entries"][0]["body"] == CHAT
    assert (await (await http.get(f"{backend.url}/_sim/log")).json())["entries"] == []


def test_every_behaviour_survives_its_own_json() -> None:
    odd = Behaviour(write_bytes=(1, 2), ending=Ending.RESET, counts=Counts.TEXT, stall_s=2.5, body="x")

    read = Script.from_json(json.dumps({"behaviour": odd.oddities(), "model": "m"}).encode())

    assert read == Script(behaviour=odd, model="m")
    assert HEALTHY.oddities() == {}


@pytest.mark.parametrize("wrong", [{"coalesce_objects": 0}, {"write_bytes": (0,)}, {"first_byte_delay_s": -1}])
def test_impossible_behaviours_cannot_be_made(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"coalesce_objects|write_bytes|first_byte_delay_s"):
        attrs.evolve(HEALTHY, **wrong)
