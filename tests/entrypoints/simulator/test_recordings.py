"""The recordings of a real server against the simulator: played back, and as a model for its own answers."""

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from entrypoints.simulator.behaviours import Behaviour
from tests.entrypoints.simulator.conftest import RECORDINGS, Serve
from tests.entrypoints.simulator.wire import chunks_of, named_events, native_lines, read_till_broken, shape, sse_events

NAMES = sorted(path.stem for path in RECORDINGS.glob("*.json"))
ERRORS = [
    "error-400-no-thinking",
    "error-400-no-tools",
    "error-400-not-json",
    "error-400-not-json-openai",
    "error-404-native-chat",
    "error-404-native-embed",
    "error-404-native-generate",
    "error-404-openai-chat",
    "error-404-path",
    "error-404-responses",
    "error-405",
    "error-500-bad-format",
    "error-500-bad-option",
]
WHOLE = [
    "native-chat",
    "native-chat-load",
    "native-embed",
    "native-embeddings",
    "native-generate",
    "openai-chat",
    "openai-completions",
    "openai-embeddings",
    "openai-embeddings-base64",
    "openai-model",
    "openai-models",
    "anthropic-messages",
    "responses",
    "tags",
    "version",
]
NATIVE_STREAMS = ["native-chat-stream", "native-chat-stop", "native-chat-thinking-stream", "native-generate-stream"]
OPENAI_STREAMS = ["openai-chat-stream", "openai-chat-stream-usage", "openai-completions-stream-usage"]


def recorded(name: str) -> Any:
    return json.loads((Path(RECORDINGS) / f"{name}.json").read_text())


def texts(exchange: Any) -> list[bytes]:
    return [text.encode() for _, text in exchange["response"]["chunks"]]


async def ask_again(http: aiohttp.ClientSession, url: str, request: Any) -> aiohttp.ClientResponse:
    body = request.get("raw_body") or (json.dumps(request["body"]) if request["body"] is not None else None)
    return await http.request(request["method"], url + request["path"], data=body)


def content_type(exchange: Any) -> str:
    return str(dict(exchange["response"]["headers"])["Content-Type"])


def test_there_are_recordings() -> None:
    assert len(NAMES) > 40


@pytest.mark.parametrize("name", NAMES)
async def test_a_replay_has_the_recorded_bytes(name: str, serve: Serve, http: aiohttp.ClientSession) -> None:
    exchange = recorded(name)
    backend = await serve()
    backend.world.script(Behaviour(replay=name), times=1)

    async with http.post(f"{backend.url}/api/chat", json={"model": "whatever"}) as response:
        if exchange["response"]["end"] == "complete":
            chunks = await chunks_of(response)
            assert chunks == texts(exchange)
        else:
            got, broken = await read_till_broken(response)
            assert got == b"".join(texts(exchange))
            assert isinstance(broken, aiohttp.ClientPayloadError)

    assert response.status == exchange["response"]["status"]
    for header, value in exchange["response"]["headers"]:
        if header not in {"Date", "Connection", "Transfer-Encoding", "Content-Length"}:
            assert value == response.headers[header]


@pytest.mark.parametrize("name", ERRORS)
async def test_an_error_has_the_recorded_words(name: str, serve: Serve, http: aiohttp.ClientSession) -> None:
    exchange = recorded(name)
    backend = await serve()

    async with await ask_again(http, backend.url, exchange["request"]) as response:
        body = await response.read()

    assert response.status == exchange["response"]["status"]
    assert body == b"".join(texts(exchange))
    assert response.headers["Content-Type"] == content_type(exchange)
    if name == "error-405":
        assert response.headers["Allow"] == "POST"


@pytest.mark.parametrize("name", WHOLE)
async def test_a_whole_answer_has_the_recorded_shape(name: str, serve: Serve, http: aiohttp.ClientSession) -> None:
    exchange = recorded(name)
    backend = await serve(tokens=8)

    async with await ask_again(http, backend.url, exchange["request"]) as response:
        body = await response.read()

    expected = b"".join(texts(exchange))
    assert response.status == 200
    assert response.headers["Content-Type"] == content_type(exchange)
    assert shape(json.loads(body)) == shape(json.loads(expected))
    assert body.endswith(b"\n") == expected.endswith(b"\n")


@pytest.mark.parametrize("name", NATIVE_STREAMS)
async def test_a_native_stream_has_the_recorded_shape(name: str, serve: Serve, http: aiohttp.ClientSession) -> None:
    exchange = recorded(name)
    backend = await serve()

    async with await ask_again(http, backend.url, exchange["request"]) as response:
        chunks = await chunks_of(response)

    expected = texts(exchange)
    assert response.headers["Content-Type"] == "application/x-ndjson"
    assert shape(json.loads(chunks[0])) == shape(json.loads(expected[0]))
    assert shape(json.loads(chunks[-1])) == shape(json.loads(expected[-1]))
    assert all(len(native_lines(chunk)) == 1 for chunk in chunks)


@pytest.mark.parametrize("name", OPENAI_STREAMS)
async def test_an_openai_stream_has_the_recorded_shape(name: str, serve: Serve, http: aiohttp.ClientSession) -> None:
    exchange = recorded(name)
    backend = await serve()

    async with await ask_again(http, backend.url, exchange["request"]) as response:
        chunks = await chunks_of(response)

    expected = texts(exchange)
    assert response.headers["Content-Type"] == "text/event-stream"
    assert [shape(event) for event in sse_events(chunks[0])] == [shape(event) for event in sse_events(expected[0])]
    assert [shape(event) for event in sse_events(chunks[-1])] == [shape(event) for event in sse_events(expected[-1])]


async def test_an_anthropic_stream_has_the_recorded_events(serve: Serve, http: aiohttp.ClientSession) -> None:
    exchange = recorded("anthropic-messages-stream")
    backend = await serve(tokens=7)

    async with await ask_again(http, backend.url, exchange["request"]) as response:
        body = await response.read()

    expected = named_events(b"".join(texts(exchange)))
    assert response.headers["Content-Type"] == "text/event-stream"
    assert [shape(event) for event in named_events(body)] == [shape(event) for event in expected]
    assert named_events(body)[-2]["usage"]["output_tokens"] == 7


async def test_a_stream_of_responses_has_the_recorded_events(serve: Serve, http: aiohttp.ClientSession) -> None:
    exchange = recorded("responses-stream")
    backend = await serve(tokens=12)

    async with await ask_again(http, backend.url, exchange["request"]) as response:
        body = await response.read()

    expected = named_events(b"".join(texts(exchange)))
    assert response.headers["Content-Type"] == "text/event-stream"
    assert [shape(event) for event in named_events(body)] == [shape(event) for event in expected]
    assert [event["type"] for event in named_events(body)] == [event["type"] for event in expected]
    assert named_events(body)[-1]["response"]["usage"]["output_tokens"] == 12


async def test_an_anthropic_error_has_the_recorded_words(serve: Serve, http: aiohttp.ClientSession) -> None:
    exchange = recorded("error-404-anthropic")
    backend = await serve()

    async with await ask_again(http, backend.url, exchange["request"]) as response:
        body = await response.read()

    found, expected = json.loads(body), json.loads(b"".join(texts(exchange)))
    assert len(found.pop("request_id")) == len(expected.pop("request_id"))
    assert found == expected
    assert (response.status, response.headers["Content-Type"]) == (404, content_type(exchange))


@pytest.mark.parametrize("name", ["native-chat-tool-stream", "native-chat-tool", "openai-chat-tool-stream"])
async def test_a_tool_call_has_the_recorded_shape(name: str, serve: Serve, http: aiohttp.ClientSession) -> None:
    exchange = recorded(name)
    exchange["request"]["body"]["messages"][-1]["content"] = "Please use the tool."
    backend = await serve()

    async with await ask_again(http, backend.url, exchange["request"]) as response:
        chunks = await chunks_of(response)

    split = sse_events if name.startswith("openai") else lambda body: [json.loads(body)]
    expected = texts(exchange)
    assert len(chunks) == len(expected)
    for got, wanted in zip(chunks, expected, strict=True):
        assert [shape(event) for event in split(got)] == [shape(event) for event in split(wanted)]
    assert b"get_weather" in chunks[0]


async def test_ps_and_show_have_the_recorded_shape(serve: Serve, http: aiohttp.ClientSession) -> None:
    backend = await serve()
    await (await http.post(f"{backend.url}/api/chat", json={"model": "smollm2:135m"})).read()

    ps = await (await http.get(f"{backend.url}/api/ps")).json()
    show = await (await http.post(f"{backend.url}/api/show", json={"model": "smollm2:135m"})).json()

    wanted_show = json.loads(b"".join(texts(recorded("show"))))
    assert shape(ps) == shape(json.loads(b"".join(texts(recorded("ps")))))
    assert list(show) == list(wanted_show)
    assert list(show["details"]) == list(wanted_show["details"])
    assert "/blobs/sha256-" in show["modelfile"]
    assert "/blobs/sha256-" in show["details"]["parent_model"]


async def test_a_timed_replay_keeps_the_recorded_pauses(serve: Serve, http: aiohttp.ClientSession) -> None:
    backend = await serve()
    backend.world.script(Behaviour(replay="native-chat-stream", replay_timed=True))

    async with http.post(f"{backend.url}/api/chat", json={}) as response:
        await response.read()

    (entry,) = backend.world.entries()
    assert entry.ended_at_s is not None
    assert entry.ended_at_s - entry.started_at_s >= 0.35
