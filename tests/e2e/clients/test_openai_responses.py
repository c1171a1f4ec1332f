"""OpenAI's own library on `/v1/responses`: answers, streams, tools, structured output, reasoning, and every refusal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Protocol

import openai
import pydantic
import pytest

from tests.e2e.clients.python_libraries import Watched, watched_client
from tests.e2e.clients.troubles import BROKEN, PATIENT, REFUSED, RETRIES, Scene
from tests.e2e.house import House, Key

MODEL, THINKER = "sim-chat", "sim-think"
WEATHER: Any = {
    "type": "function",
    "name": "weather",
    "description": "The weather of a town.",
    "parameters": {"type": "object", "properties": {"town": {"type": "string"}}, "required": ["town"]},
    "strict": True,
}
RAISES: dict[int, type[openai.APIStatusError]] = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    413: openai.APIStatusError,
    415: openai.APIStatusError,
    429: openai.RateLimitError,
    503: openai.InternalServerError,
}


class Note(pydantic.BaseModel):
    """What a structured answer must be; the simulated model always makes a note."""

    note: str


@pytest.fixture(scope="module")
def key(clients_house: House) -> Key:
    return clients_house.new_key()


@pytest.fixture
def client(clients_house: House, key: Key) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{clients_house.url}/v1", api_key=key.text, max_retries=0) as opened:
        yield opened


# -- answers ----------------------------------------------------------------------------------------------------------


def test_an_answer_names_what_was_asked_and_what_was_used(client: openai.OpenAI) -> None:
    answer = client.responses.create(model=MODEL, input="Say hello.", instructions="Be brief.", max_output_tokens=9)

    assert answer.output_text.startswith("This is a simulated answer")
    assert answer.status == "completed"
    assert answer.model == MODEL
    assert answer.id.startswith("resp_")
    assert answer._request_id == "req_" + answer.id.removeprefix("resp_")
    assert answer.usage is not None
    assert answer.usage.output_tokens == answer.max_output_tokens == 9


def test_a_stream_has_one_id_and_ends_with_its_usage(client: openai.OpenAI) -> None:
    events = list(client.responses.create(model=MODEL, input="Say hello.", stream=True))

    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert (events[0].type, events[-1].type) == ("response.created", "response.completed")
    responses = [event.response for event in events if hasattr(event, "response")]
    assert len({response.id for response in responses}) == 1
    assert {response.model for response in responses} == {MODEL}
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == text
    assert events[-1].response.usage is not None
    assert events[-1].response.usage.output_tokens > 5


def test_the_helper_for_streams_gathers_the_answer(client: openai.OpenAI) -> None:
    with client.responses.stream(model=MODEL, input="Say hello.") as stream:
        deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
        answer = stream.get_final_response()

    assert "".join(deltas) == answer.output_text
    assert len(deltas) > 5


@pytest.mark.parametrize("streamed", [False, True])
def test_what_an_answer_says_it_used_is_what_is_charged(clients_house: House, *, streamed: bool) -> None:
    key = clients_house.new_key()
    scene = Scene(url=clients_house.url, api_key=key.text)
    with openai.OpenAI(base_url=f"{scene.url}/v1", api_key=scene.api_key) as client:
        if streamed:
            with client.responses.stream(model=MODEL, input=scene.text) as stream:
                answer: Any = stream.get_final_response()
        else:
            answer = client.responses.create(model=MODEL, input=scene.text)
    clients_house.settled()

    assert clients_house.used(key) == answer.usage.total_tokens


@pytest.mark.parametrize("streamed", [False, True])
def test_a_tool_is_called_and_its_result_is_answered(client: openai.OpenAI, *, streamed: bool) -> None:
    conversation: Any = [{"role": "user", "content": "Use the tool: what is the weather in Ulm?"}]
    if streamed:
        with client.responses.stream(model=MODEL, input=conversation, tools=[WEATHER]) as stream:
            first: Any = stream.get_final_response()
    else:
        first = client.responses.create(model=MODEL, input=conversation, tools=[WEATHER], tool_choice="auto")
    (call,) = [item for item in first.output if item.type == "function_call"]
    assert call.name == "weather"
    assert "town" in json.loads(call.arguments)

    # What came is sent back as it came, with all its ids and fields, as OpenAI's documentation shows it.
    conversation += first.output
    conversation += [{"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}]
    second = client.responses.create(model=MODEL, input=conversation, tools=[WEATHER], parallel_tool_calls=False)

    assert second.output_text


def test_structured_output_comes_as_a_typed_value(client: openai.OpenAI) -> None:
    parsed = client.responses.parse(model=MODEL, input="Make a note.", text_format=Note)
    with client.responses.stream(model=MODEL, input="Make a note.", text_format=Note) as stream:
        streamed = stream.get_final_response()

    assert isinstance(parsed.output_parsed, Note)
    assert parsed.output_parsed.note
    assert streamed.output_parsed == parsed.output_parsed


def test_json_mode_gives_json(client: openai.OpenAI) -> None:
    answer = client.responses.create(
        model=MODEL, input="Make a note.", text={"format": {"type": "json_object"}, "verbosity": "low"}
    )

    assert json.loads(answer.output_text)["note"]


def test_reasoning_comes_apart_and_can_be_sent_back_and_turned_off(client: openai.OpenAI) -> None:
    answer = client.responses.create(model=THINKER, input="Think.", reasoning={"effort": "low", "summary": "auto"})
    reasoning, message = answer.output
    assert reasoning.type == "reasoning"
    assert reasoning.summary[0].text
    assert message.type == "message"

    conversation: Any = [{"role": "user", "content": "Think."}, *answer.output, {"role": "user", "content": "Again."}]
    again = list(client.responses.create(model=THINKER, input=conversation, stream=True, store=False))
    silent = client.responses.create(model=THINKER, input=conversation, reasoning={"effort": "none"})

    assert "response.reasoning_summary_text.delta" in {event.type for event in again}
    assert [item.type for item in silent.output] == ["message"]


def test_what_ollama_does_not_know_is_dropped_quietly(clients_house: House, client: openai.OpenAI) -> None:
    client.responses.create(
        model=MODEL,
        input=[{"role": "user", "content": [{"type": "input_text", "text": "Hi"}]}],
        background=False,
        include=["reasoning.encrypted_content"],
        metadata={"a": "b"},
        parallel_tool_calls=True,
        prompt_cache_key="k",
        safety_identifier="s",
        service_tier="auto",
        store=True,
        tool_choice="required",
        truncation="auto",
        user="u",
        previous_response_id=None,
        extra_body={"not_yet_thought_of": {"a": 1}},
    )

    sent = [entry["body"] for entry in clients_house.simulator.log() if entry["kind"] == "inference"][-1]
    assert set(sent) == {"model", "input", "stream", "max_output_tokens"}
    assert sent["max_output_tokens"] > 0


# -- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": "Hi", "tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"input": "Hi", "tools": [{"type": "mcp", "server_label": "x"}]}, "tools[0].type"),
        ({"input": "Hi", "previous_response_id": "resp_1"}, "previous_response_id"),
        ({"input": "Hi", "conversation": "conv_1"}, "conversation"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0].type"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "https://x.example/a.png"}]}]},
            "input[0].content[0].image_url",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "file_1"}]}]},
            "input[0].content[0].type",
        ),
    ],
)
def test_what_cannot_be_served_is_refused_by_its_path(client: openai.OpenAI, asked: Any, param: str) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model=MODEL, **asked)

    assert refused.value.param == param
    assert refused.value.request_id


def test_stored_responses_are_not_served(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve("resp_1")
    with pytest.raises(openai.NotFoundError):
        client.responses.delete("resp_1")


class Call(Protocol):
    def __call__(self, client: openai.OpenAI, scene: Scene) -> object: ...


def whole(client: openai.OpenAI, scene: Scene) -> object:
    return client.responses.create(model=scene.model, input=scene.text)


def streamed(client: openai.OpenAI, scene: Scene) -> object:
    return list(client.responses.create(model=scene.model, input=scene.text, stream=True))


def helper(client: openai.OpenAI, scene: Scene) -> object:
    with client.responses.stream(model=scene.model, input=scene.text) as stream:
        return stream.get_final_response()


@pytest.mark.parametrize("call", [whole, streamed], ids=lambda call: call.__name__)
@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_raises_its_class_and_is_tried_again_only_where_that_helps(
    clients_house: House, name: str, call: Call
) -> None:
    trouble = REFUSED[name]
    retries = 0 if name in PATIENT else RETRIES
    watched = Watched()
    with (
        trouble.arrange(clients_house) as scene,
        watched_client(watched) as http,
        opened(scene, http, retries) as sdk,
        pytest.raises(RAISES[trouble.status]) as raised,
    ):
        call(sdk, scene)

    assert raised.value.status_code == trouble.status
    assert raised.value.response.headers["x-error-code"] == trouble.code
    assert watched.requests == (trouble.tries if retries else 1)


@pytest.mark.parametrize("call", [streamed, helper], ids=lambda call: call.__name__)
@pytest.mark.parametrize("name", BROKEN)
def test_a_failure_in_mid_stream_raises(clients_house: House, name: str, call: Call) -> None:
    watched = Watched()
    with (
        BROKEN[name].arrange(clients_house) as scene,
        watched_client(watched) as http,
        opened(scene, http, RETRIES) as sdk,
        pytest.raises(openai.APIError) as raised,
    ):
        call(sdk, scene)

    assert raised.value.code in ("stream_broken", "backend_failed")  # the end of HTTP, or of the connection
    assert watched.requests == 1


def opened(scene: Scene, http: Any, retries: int) -> openai.OpenAI:
    """A client over a transport that is watched; its library names another, which httpx's does as well."""
    return openai.OpenAI(
        base_url=f"{scene.url}/v1",
        api_key=scene.api_key,
        default_headers=scene.headers,
        http_client=http,
        max_retries=retries,
    )
