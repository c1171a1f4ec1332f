"""Facts of Anthropic's Messages, as Ollama speaks them, that no recording shows (`anthropic/anthropic.go`)."""

import json
from typing import Any

import aiohttp
import pytest

from entrypoints.simulator.behaviours import Behaviour, Ending
from tests.entrypoints.simulator.conftest import Serve
from tests.entrypoints.simulator.wire import named_events

ASK = {"model": "sim-chat", "max_tokens": 40, "messages": [{"role": "user", "content": "Say hello."}]}
THINK = {**ASK, "model": "thinker"}
TOOL = {"name": "f", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}
USE = {**ASK, "messages": [{"role": "user", "content": "Please use the tool."}], "tools": [TOOL]}


async def streamed(http: aiohttp.ClientSession, url: str, body: dict[str, Any]) -> list[Any]:
    async with http.post(f"{url}/v1/messages", json={**body, "stream": True}) as response:
        assert response.status == 200
        return named_events(await response.read())


async def whole(http: aiohttp.ClientSession, url: str, body: dict[str, Any]) -> Any:
    async with http.post(f"{url}/v1/messages", json=body) as response:
        return response.status, json.loads(await response.read())


async def test_thinking_comes_in_a_block_of_its_own_before_the_text(serve: Serve, http: aiohttp.ClientSession) -> None:
    backend = await serve(tokens=6)

    events = await streamed(http, backend.url, THINK)

    starts = [event["content_block"]["type"] for event in events if event["type"] == "content_block_start"]
    assert starts == ["thinking", "text"]
    assert [event["index"] for event in events if event["type"] == "content_block_stop"] == [0, 1]
    _, answer = await whole(http, backend.url, THINK)
    assert [block["type"] for block in answer["content"]] == ["thinking", "text"]


@pytest.mark.parametrize("config", [{"type": "disabled"}, {"type": "enabled"}])
async def test_thinking_that_a_model_cannot_do_is_dropped(
    config: dict[str, str], serve: Serve, http: aiohttp.ClientSession
) -> None:
    backend = await serve(tokens=3)
    model = "thinker" if config["type"] == "disabled" else "sim-chat"

    status, answer = await whole(http, backend.url, {**ASK, "model": model, "thinking": config})

    assert status == 200
    assert [block["type"] for block in answer["content"]] == ["text"]


async def test_a_tool_call_is_a_block_and_its_arguments_one_delta(serve: Serve, http: aiohttp.ClientSession) -> None:
    backend = await serve()

    events = await streamed(http, backend.url, {**USE, "model": "tooler"})
    _, answer = await whole(http, backend.url, {**USE, "model": "tooler"})

    assert [event["type"] for event in events] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert events[1]["content_block"] | {"id": ""} == {"type": "tool_use", "id": "", "name": "f", "input": {}}
    assert json.loads(events[2]["delta"]["partial_json"]) == {"city": "simulated"}
    assert events[-2]["delta"] == {"stop_reason": "tool_use"}
    assert answer["content"][0]["input"] == {"city": "simulated"}
    assert answer["stop_reason"] == "tool_use"


async def test_a_failure_in_mid_stream_just_stops(serve: Serve, http: aiohttp.ClientSession) -> None:
    backend = await serve()
    backend.world.script(Behaviour(ending=Ending.FAILURE, end_after_objects=3), times=1)

    events = await streamed(http, backend.url, ASK)

    assert [event["type"] for event in events][-1] == "content_block_delta"


async def test_the_repeat_guard_leaves_out_the_stop_reason(serve: Serve, http: aiohttp.ClientSession) -> None:
    backend = await serve()
    backend.world.script(Behaviour(ending=Ending.MISSING_DONE, end_after_objects=3), times=1)

    status, answer = await whole(http, backend.url, ASK)

    assert status == 200
    assert "stop_reason" not in answer
    assert answer["usage"] == {"input_tokens": 0, "output_tokens": 0}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("content", ["", [], [{"type": "document"}]])
async def test_messages_that_hold_nothing_only_load_the_model(
    content: Any, serve: Serve, http: aiohttp.ClientSession, *, stream: bool
) -> None:
    backend = await serve()

    body = {**ASK, "messages": [{"role": "user", "content": content}], "stream": stream}
    async with http.post(f"{backend.url}/v1/messages", json=body) as response:
        answer = await response.read()

    assert response.status == 200
    assert b"stop_sequence" in answer
    assert backend.world.entries()[-1].output_tokens == 0


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"max_tokens": 0}, "max_tokens is required and must be positive"),
        ({"max_tokens": None}, "max_tokens is required and must be positive"),
        ({"model": ""}, "model is required"),
        ({"messages": []}, "messages is required"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "url"}}]}]},
            "invalid image source type: url. Only base64 images are supported.",
        ),
        (
            {"messages": [{"role": "assistant", "content": [{"type": "tool_use", "name": "f"}]}]},
            "tool_use block missing required 'id' field",
        ),
    ],
)
async def test_a_refusal_has_ollamas_words(
    more: dict[str, Any], words: str, serve: Serve, http: aiohttp.ClientSession
) -> None:
    backend = await serve()

    status, answer = await whole(http, backend.url, ASK | more)

    assert status == 400
    assert answer["error"] == {"type": "invalid_request_error", "message": words}
