"""`/v1/responses` as the simulator speaks it: what no recording shows."""

import json
from typing import Any

import aiohttp
import pytest

from entrypoints.simulator.behaviours import Behaviour, Ending
from tests.entrypoints.simulator.conftest import Serve
from tests.entrypoints.simulator.wire import named_events

ASKED: dict[str, Any] = {"model": "sim-chat", "input": "Say hello."}
TOOL = {
    "type": "function",
    "name": "weather",
    "parameters": {"type": "object", "properties": {"town": {"type": "string"}}},
}


async def whole(http: aiohttp.ClientSession, url: str, **more: Any) -> Any:
    return await (await http.post(f"{url}/v1/responses", json=ASKED | more)).json()


async def events(http: aiohttp.ClientSession, url: str, **more: Any) -> list[Any]:
    response = await http.post(f"{url}/v1/responses", json=ASKED | {"stream": True} | more)
    return named_events(await response.read())


async def test_a_stream_numbers_its_events_and_repeats_its_text(serve: Serve, http: aiohttp.ClientSession) -> None:
    backend = await serve()

    found = await events(http, backend.url, max_output_tokens=5)

    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    text = "".join(event["delta"] for event in found if event["type"] == "response.output_text.delta")
    (item,) = found[-1]["response"]["output"]
    assert item["content"][0]["text"] == text == "This is a simulated answer"
    assert found[-1]["response"]["status"] == "completed"  # as Ollama says of an answer that was cut at its cap


async def test_thinking_comes_before_the_text_as_an_item_of_its_own(serve: Serve, http: aiohttp.ClientSession) -> None:
    backend = await serve()

    streamed = (await events(http, backend.url, model="sim-think"))[-1]["response"]["output"]
    answer = (await whole(http, backend.url, model="sim-think"))["output"]
    silent = (await whole(http, backend.url, model="sim-think", reasoning={"effort": "none"}))["output"]

    for output in (streamed, answer):
        assert [item["type"] for item in output] == ["reasoning", "message"]
        assert output[0]["summary"][0]["text"] == output[0]["encrypted_content"]
    assert [item["type"] for item in silent] == ["message"]


@pytest.mark.parametrize(
    ("tools", "name"),
    [([TOOL], "weather"), ([{"type": "namespace", "name": "town", "tools": [TOOL]}], "town.weather")],
)
async def test_a_tool_call_has_its_events(
    tools: list[Any], name: str, serve: Serve, http: aiohttp.ClientSession
) -> None:
    backend = await serve()
    asked = {"input": [{"role": "user", "content": "Please use the tool."}], "tools": tools}

    found = await events(http, backend.url, **asked)
    (item,) = (await whole(http, backend.url, **asked))["output"]

    assert [event["type"].removeprefix("response.") for event in found] == [
        "created",
        "in_progress",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ]
    (streamed,) = found[-1]["response"]["output"]
    for call in (item, streamed):
        assert (call["type"], call["name"]) == ("function_call", name)
        assert json.loads(call["arguments"]) == {"town": "simulated"}


@pytest.mark.parametrize("ending", [Ending.FAILURE, Ending.MISSING_DONE])
async def test_a_failure_in_mid_stream_is_not_told(ending: Ending, serve: Serve, http: aiohttp.ClientSession) -> None:
    backend = await serve()
    backend.world.script(Behaviour(ending=ending, end_after_objects=3))

    found = await events(http, backend.url)

    assert found[-1]["type"] == "response.output_text.delta"


@pytest.mark.parametrize("nothing", ["", [], None])
async def test_an_empty_input_only_loads_the_model(nothing: Any, serve: Serve, http: aiohttp.ClientSession) -> None:
    backend = await serve()

    answer = await whole(http, backend.url, input=nothing)

    assert answer["usage"]["total_tokens"] == 0
    assert answer["status"] == "completed"
    (entry,) = backend.world.entries()
    assert entry.output_tokens == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"input": [{"type": "item_reference", "id": "msg_1"}]},
        {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]},
        {"input": 5},
        {"reasoning": {"effort": "more"}},
        {"max_output_tokens": 1.5},
        {"model": ""},
    ],
)
async def test_what_ollama_refuses_is_refused(wrong: Any, serve: Serve, http: aiohttp.ClientSession) -> None:
    backend = await serve()

    async with http.post(f"{backend.url}/v1/responses", json=ASKED | wrong) as response:
        assert response.status == 400
        assert (await response.json())["error"]["type"] == "invalid_request_error"
