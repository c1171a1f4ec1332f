"""Facts of the two dialects that no recording shows."""

import base64
import json
import math
import struct
from typing import Any

import aiohttp
import pytest
from yarl import URL

from entrypoints.simulator.decoding import keep_alive_seconds
from entrypoints.simulator.models import canonical
from entrypoints.simulator.refusal import Refused
from tests.entrypoints.simulator.conftest import Serve
from tests.entrypoints.simulator.wire import CHAT, chunks_of, native_lines, sse_events, text_of


async def test_the_answer_says_that_it_is_simulated(serve: Serve, http: aiohttp.ClientSession) -> None:
    backend = await serve()

    body = await (await http.post(f"{backend.url}/api/chat", json=CHAT)).read()

    text = text_of(native_lines(body))
    assert text.startswith("This is a simulated answer from neuronetz-gateway's built-in backend, not a model.")


@pytest.mark.parametrize(
    ("num_predict", "tokens", "reason"),
    [(5, 5, "length"), (100, 24, "stop"), (-1, 24, "stop"), (0, 24, "stop"), (None, 24, "stop"), (2.9, 2, "length")],
)
async def test_one_token_is_one_object(
    num_predict: float | None, tokens: int, reason: str, serve: Serve, http: aiohttp.ClientSession
) -> None:
    backend = await serve()

    async with http.post(f"{backend.url}/api/chat", json={**CHAT, "options": {"num_predict": num_predict}}) as response:
        chunks = await chunks_of(response)

    final = json.loads(chunks[-1])
    assert len(chunks) == tokens + 1
    assert final["eval_count"] == tokens
    assert final["done_reason"] == reason
    assert final["prompt_eval_count"] == 8 + 4 + 3
    (entry,) = backend.world.entries()
    assert (entry.output_tokens, entry.prompt_tokens, entry.ended) == (tokens, 15, "done")


async def test_usage_comes_only_when_asked_for(serve: Serve, http: aiohttp.ClientSession) -> None:
    backend = await serve()
    asked = {**CHAT, "stream": True, "max_tokens": 3}

    without = await (await http.post(f"{backend.url}/v1/chat/completions", json=asked)).read()
    with_usage = await (
        await http.post(f"{backend.url}/v1/chat/completions", json={**asked, "stream_options": {"include_usage": True}})
    ).read()

    assert b"usage" not in without
    *_, finish, usage, done = sse_events(with_usage)
    assert finish["choices"][0]["finish_reason"] == "length"
    assert usage["usage"] == {"prompt_tokens": 15, "completion_tokens": 3, "total_tokens": 18}
    assert done == "[DONE]"


async def test_max_completion_tokens_caps_nothing(serve: Serve, http: aiohttp.ClientSession) -> None:
    backend = await serve()

    response = await http.post(f"{backend.url}/v1/chat/completions", json={**CHAT, "max_completion_tokens": 1})

    assert (await response.json())["usage"]["completion_tokens"] == 24


async def test_a_thinking_model_thinks_before_it_speaks(serve: Serve, http: aiohttp.ClientSession) -> None:
    backend = await serve()
    asked = {**CHAT, "model": "sim-think"}

    thinking = native_lines(await (await http.post(f"{backend.url}/api/chat", json=asked)).read())
    silent = native_lines(await (await http.post(f"{backend.url}/api/chat", json={**asked, "think": False})).read())

    kinds = ["thinking" in line["message"] for line in thinking[:-1]]
    assert kinds == [True] * 8 + [False] * 16
    assert not any("thinking" in line["message"] for line in silent)


async def test_format_json_gives_json(serve: Serve, http: aiohttp.ClientSession) -> None:
    backend = await serve()

    response = await http.post(f"{backend.url}/api/chat", json={**CHAT, "format": "json", "stream": False})

    assert json.loads((await response.json())["message"]["content"])["note"].startswith("This is a simulated")


async def test_embeddings_are_unit_vectors_that_equal_texts_share(serve: Serve, http: aiohttp.ClientSession) -> None:
    backend = await serve()
    asked = {"model": "sim-embed", "input": ["a", "b", "a"]}

    native = await (await http.post(f"{backend.url}/api/embed", json=asked)).json()
    openai = await (
        await http.post(f"{backend.url}/v1/embeddings", json={**asked, "input": "a", "encoding_format": "base64"})
    ).json()

    first, second, third = native["embeddings"]
    assert first == third != second
    assert len(first) == 16
    assert math.isclose(sum(number**2 for number in first), 1, rel_tol=1e-5)
    assert native["prompt_eval_count"] == 15
    decoded = struct.unpack("<16f", base64.b64decode(openai["data"][0]["embedding"]))
    assert decoded == pytest.approx(first)


@pytest.mark.parametrize(
    ("raw", "content_type"),
    [
        (
            '{"model":"x","MODEL":"sim-chat","messages":[{"role":"user","content":"a"}],"\u017ftream":false}',
            "application/json",
        ),
        (
            '{"model":"sim-chat","messages":[{"role":"user","content":"a"}],"stream":null}',
            "application/x-ndjson",
        ),
        (
            '{"model":"sim-chat","messages":[{"role":"user","content":"a"}],"stream":false} trailing',
            "application/json",
        ),
    ],
)
async def test_a_body_is_read_as_leniently_as_go_does(
    raw: str, content_type: str, serve: Serve, http: aiohttp.ClientSession
) -> None:
    backend = await serve()

    async with http.post(
        f"{backend.url}/api/chat", data=raw.encode(), headers={"Content-Type": "text/csv"}
    ) as response:
        await response.read()

    assert (response.status, response.content_type) == (200, content_type)


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("llama3", "llama3:latest"),
        (" LLAMA3:latest ", "llama3:latest"),
        ("library/llama3", "llama3:latest"),
        ("https://registry.ollama.ai/library/llama3:8b", "llama3:8b"),
        ("llama3:local", "llama3:latest"),
        ("llama3:latest:local", "llama3:latest"),
        ("me/llama3", "me/llama3:latest"),
    ],
)
def test_spellings_reach_one_model(spelling: str, name: str) -> None:
    assert canonical(spelling) == name


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(5, 5), (0.5, 0.5), ("10m", 600), ("1h30m", 5400), ("0", 0), ("-1m", math.inf), (-1, math.inf), (1e300, 0)],
)
def test_keep_alive_is_seconds_or_a_duration(value: Any, seconds: float) -> None:
    assert keep_alive_seconds(value) == seconds


@pytest.mark.parametrize("value", ["5", "-1", "1d", "", True, [], {}])
def test_other_keep_alives_are_refused(value: Any) -> None:
    with pytest.raises(Refused):
        keep_alive_seconds(value)


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("POST", "/api/pull", "mutation"),
        ("POST", "/api%2Fpull", "mutation"),
        ("DELETE", "/api/delete", "mutation"),
        ("POST", "/api/blobs/sha256:0", "mutation"),
        ("GET", "/nothing", "unknown"),
    ],
)
async def test_every_request_is_recorded(
    method: str, path: str, kind: str, serve: Serve, http: aiohttp.ClientSession
) -> None:
    backend = await serve()

    await (await http.request(method, URL(backend.url + path, encoded=True), headers={"X-Request-Id": "r-1"})).read()

    (entry,) = backend.world.entries()
    assert (entry.method, entry.path, entry.kind, entry.request_id) == (method, path, kind, "r-1")


async def test_a_foreign_host_or_origin_gets_an_empty_403(serve: Serve, http: aiohttp.ClientSession) -> None:
    backend = await serve()

    for headers in ({"Host": "gw.example.com"}, {"Origin": "https://evil.example"}):
        async with http.get(f"{backend.url}/api/tags", headers=headers) as response:
            assert (response.status, await response.read()) == (403, b"")
    async with http.get(f"{backend.url}/api/tags", headers={"Origin": "http://localhost:3000"}) as response:
        assert response.status == 200


NASTY: list[Any] = [0, -1, 1.5, True, "x", "", [], [1], {}, {"a": 1}, [[]], [{}], [{"content": 1}], [{"function": 1}]]
FIELDS = [
    "messages",
    "prompt",
    "input",
    "tools",
    "options",
    "think",
    "format",
    "keep_alive",
    "stream",
    "stream_options",
    "max_tokens",
    "response_format",
    "reasoning",
    "reasoning_effort",
    "text",
    "instructions",
    "max_output_tokens",
    "dimensions",
    "encoding_format",
    "model",
]


@pytest.mark.parametrize(
    "path",
    [
        "/api/chat",
        "/api/generate",
        "/api/embed",
        "/api/embeddings",
        "/api/show",
        "/api/pull",
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/embeddings",
        "/v1/messages",
        "/v1/responses",
    ],
)
async def test_no_body_crashes_the_simulator(path: str, serve: Serve, http: aiohttp.ClientSession) -> None:
    backend = await serve(tokens=1)

    for field in FIELDS:
        for value in NASTY:
            body = {**CHAT, "prompt": "a", "input": "a", field: value}
            async with http.post(backend.url + path, json=body) as response:
                await response.read()

    assert [entry.body for entry in backend.world.entries() if entry.ended == "crashed"] == []
