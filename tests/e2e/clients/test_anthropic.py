"""Anthropic's Python library, with only base URL and key changed."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import anthropic
import httpx
import pytest

from domain.limits import Limits
from domain.policies import Policy
from tests.e2e.clients.troubles import BROKEN, PATIENT, REFUSED, RETRIES, Scene
from tests.e2e.house import House, Key

MODEL = "sim-chat"
QUESTION: Any = [{"role": "user", "content": "Say hello."}]
TOOL: Any = {
    "name": "get_weather",
    "description": "The weather of a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}
USE: Any = [{"role": "user", "content": "Please use the tool."}]
CLASSES: dict[int, type[Exception]] = {
    401: anthropic.AuthenticationError,
    403: anthropic.PermissionDeniedError,
    404: anthropic.NotFoundError,
    413: anthropic.RequestTooLargeError,
    415: anthropic.APIStatusError,
    429: anthropic.RateLimitError,
    503: anthropic.ServiceUnavailableError,
}
TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    415: "invalid_request_error",
    429: "rate_limit_error",
    503: "overloaded_error",
}


def question_of(scene: Scene) -> Any:
    return [{"role": "user", "content": scene.text}]


@contextlib.contextmanager
def client_of(scene: Scene, retries: int = 0) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(
        base_url=scene.url, api_key=scene.api_key, default_headers=scene.headers, max_retries=retries
    ) as client:
        yield client


@pytest.fixture(scope="module")
def key(clients_house: House) -> Key:
    return clients_house.new_key()


@pytest.fixture
def client(clients_house: House, key: Key) -> Iterator[anthropic.Anthropic]:
    with client_of(Scene(url=clients_house.url, api_key=key.text)) as opened:
        yield opened


def test_it_chats(client: anthropic.Anthropic) -> None:
    answer = client.messages.create(model=MODEL, max_tokens=7, messages=QUESTION, system="Be brief.")

    assert answer.content[0].type == "text"
    assert answer.content[0].text
    assert answer.model == MODEL
    assert answer.stop_reason == "max_tokens"
    assert answer.usage.output_tokens == 7
    assert answer.id.startswith("msg_")
    assert answer._request_id is not None
    assert answer._request_id.removeprefix("req_") == answer.id.removeprefix("msg_")


def test_a_key_may_be_a_bearer_token_too(clients_house: House, key: Key) -> None:
    with anthropic.Anthropic(base_url=clients_house.url, auth_token=key.text, max_retries=0) as client:
        assert client.messages.create(model=MODEL, max_tokens=3, messages=QUESTION).content


def test_it_streams_events(client: anthropic.Anthropic) -> None:
    events = list(client.messages.create(model=MODEL, max_tokens=9, messages=QUESTION, stream=True))

    assert [event.type for event in events[:2]] == ["message_start", "content_block_start"]
    assert [event.type for event in events[-3:]] == ["content_block_stop", "message_delta", "message_stop"]
    assert sum(event.type == "content_block_delta" for event in events) == 9


def test_its_helper_gathers_a_stream(client: anthropic.Anthropic) -> None:
    with client.messages.stream(model=MODEL, max_tokens=9, messages=QUESTION) as stream:
        text = "".join(stream.text_stream)
        message = stream.get_final_message()

    assert message.content[0].type == "text"
    assert message.content[0].text == text
    assert message.usage.output_tokens == 9
    assert message.usage.input_tokens > 3  # that of the end, not the estimate of the start


def test_its_beta_client_has_a_query_string_and_is_served(client: anthropic.Anthropic) -> None:
    answer = client.beta.messages.create(model=MODEL, max_tokens=3, messages=QUESTION, betas=["x-2026-01-01"])

    assert answer.content


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_a_tool_is_called_and_its_result_sent_back(client: anthropic.Anthropic, *, streamed: bool) -> None:
    message: Any
    if streamed:
        with client.messages.stream(model=MODEL, max_tokens=99, messages=USE, tools=[TOOL]) as stream:
            message = stream.get_final_message()
    else:
        message = client.messages.create(model=MODEL, max_tokens=99, messages=USE, tools=[TOOL])

    assert message.stop_reason == "tool_use"
    called = message.content[0]
    assert called.type == "tool_use"
    assert called.name == "get_weather"
    assert called.input == {"city": "simulated"}
    result: Any = {"type": "tool_result", "tool_use_id": called.id, "content": [{"type": "text", "text": "12"}]}
    history: Any = [
        *USE,
        {"role": "assistant", "content": message.content},
        {"role": "user", "content": [result]},
    ]
    answer = client.messages.create(model=MODEL, max_tokens=5, messages=history, tools=[TOOL])
    assert answer.content[0].type == "text"


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_thinking_has_a_block_of_its_own(client: anthropic.Anthropic, *, streamed: bool) -> None:
    thinking: Any = {"type": "enabled", "budget_tokens": 1024}
    message: Any
    if streamed:
        with client.messages.stream(model="sim-think", max_tokens=2048, messages=QUESTION, thinking=thinking) as stream:
            message = stream.get_final_message()
    else:
        message = client.messages.create(model="sim-think", max_tokens=2048, messages=QUESTION, thinking=thinking)

    assert [block.type for block in message.content] == ["thinking", "text"]
    off: Any = {"type": "disabled"}
    brief = client.messages.create(model="sim-think", max_tokens=9, messages=QUESTION, thinking=off)
    assert [block.type for block in brief.content] == ["text"]


def test_an_image_by_its_address_is_refused_by_the_path_of_the_field(client: anthropic.Anthropic) -> None:
    source = {"type": "url", "url": "http://169.254.169.254/"}
    message: Any = {"role": "user", "content": [{"type": "image", "source": source}]}

    with pytest.raises(anthropic.BadRequestError, match="not fetched") as refused:
        client.messages.create(model=MODEL, max_tokens=5, messages=[message])

    assert "`messages[0].content[0].source.type`" in str(refused.value)


def test_an_image_in_the_request_passes(client: anthropic.Anthropic) -> None:
    png = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    source = {"type": "base64", "media_type": "image/png", "data": png}
    message: Any = {"role": "user", "content": [{"type": "image", "source": source}, {"type": "text", "text": "?"}]}

    assert client.messages.create(model=MODEL, max_tokens=3, messages=[message]).content


@pytest.mark.parametrize("kind", ["web_search_20250305", "code_execution_20250825", "computer_20250124"])
def test_tools_of_the_server_are_refused(client: anthropic.Anthropic, kind: str) -> None:
    tool: Any = {"type": kind, "name": "x"}

    with pytest.raises(anthropic.BadRequestError, match="not served"):
        client.messages.create(model=MODEL, max_tokens=5, messages=QUESTION, tools=[tool])


def test_counting_tokens_is_not_served_and_says_so_in_the_dialect(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as counted:
        client.messages.count_tokens(model=MODEL, messages=QUESTION)
    with pytest.raises(anthropic.NotFoundError):
        client.messages.batches.list()

    body: Any = counted.value.body
    assert body["error"]["type"] == "not_found_error"
    assert body["request_id"] == counted.value.request_id


def test_rates_are_told_in_anthropics_words(clients_house: House) -> None:
    key = clients_house.new_key(tenant_policy=Policy(limits=Limits(rpm=60, tpm=1_000_000)))
    with client_of(Scene(url=clients_house.url, api_key=key.text)) as client:
        raw = client.messages.with_raw_response.create(model=MODEL, max_tokens=3, messages=QUESTION)

    assert raw.headers["anthropic-ratelimit-requests-limit"] == "60"
    assert raw.headers["anthropic-ratelimit-requests-remaining"] == "59"
    assert raw.headers["anthropic-ratelimit-tokens-limit"] == "1000000"
    assert datetime.fromisoformat(raw.headers["anthropic-ratelimit-tokens-reset"]).tzinfo is not None
    assert "x-ratelimit-limit-requests" not in raw.headers
    assert raw.headers["request-id"] == raw.headers["x-request-id"]


# -- every error class ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_raises_the_class_that_is_documented_and_is_tried_again_only_if_that_helps(
    clients_house: House, name: str, *, streamed: bool
) -> None:
    trouble = REFUSED[name]
    retries = 0 if name in PATIENT else RETRIES

    with (
        trouble.arrange(clients_house) as scene,
        client_of(scene, retries) as client,
        pytest.raises(CLASSES[trouble.status]) as raised,
    ):
        client.messages.create(model=scene.model, max_tokens=9, messages=question_of(scene), stream=streamed)

    refused: Any = raised.value
    assert refused.status_code == trouble.status
    assert refused.body["type"] == "error"
    assert refused.body["error"]["type"] == TYPES[trouble.status]
    assert refused.response.headers["x-error-code"] == trouble.code
    assert refused.request_id == refused.body["request_id"]
    sent = int(refused.response.request.headers["x-stainless-retry-count"]) + 1
    assert sent == min(trouble.tries, 1 + retries)
    assert scene.api_key not in str(refused)


@pytest.mark.parametrize("name", BROKEN)
def test_an_answer_that_breaks_off_raises(clients_house: House, name: str) -> None:
    seen: list[str] = []

    with (
        BROKEN[name].arrange(clients_house) as scene,
        client_of(scene) as client,
        pytest.raises(anthropic.APIStatusError, match=r"broke off|failed") as raised,
        client.messages.stream(model=scene.model, max_tokens=99, messages=QUESTION) as stream,
    ):
        seen.extend(event.type for event in stream)

    body: Any = raised.value.body
    assert body["error"]["type"] == "api_error"
    assert "message_stop" not in seen
    clients_house.settled()


def test_a_whole_answer_of_a_backend_that_fails_raises(clients_house: House) -> None:
    with (
        BROKEN["a failure in mid-stream"].arrange(clients_house) as scene,
        client_of(scene) as client,
        pytest.raises(anthropic.InternalServerError),
    ):
        client.messages.create(model=scene.model, max_tokens=99, messages=QUESTION)

    clients_house.settled()


def test_a_whole_answer_without_its_end_says_so_by_its_missing_stop_reason(clients_house: House) -> None:
    with BROKEN["an end without its mark"].arrange(clients_house) as scene, client_of(scene) as client:
        answer = client.messages.create(model=scene.model, max_tokens=99, messages=QUESTION)

    assert answer.stop_reason is None
    clients_house.settled()


# -- what the operator sees -----------------------------------------------------------------------------------------
def test_a_call_is_charged_what_the_end_says_and_the_backend_gets_our_cap(clients_house: House) -> None:
    key = clients_house.new_key()
    with (
        client_of(Scene(url=clients_house.url, api_key=key.text)) as client,
        client.messages.stream(model=MODEL, max_tokens=11, messages=QUESTION) as stream,
    ):
        message = stream.get_final_message()

    clients_house.settled()
    (finished,) = clients_house.rows("select * from audit where tenant_id = %s and event = 'finished'", key.tenant_id)
    assert finished["route"] == "/v1/messages"
    assert finished["prompt_tokens"] == message.usage.input_tokens
    assert finished["output_tokens"] == message.usage.output_tokens == 11
    (entry,) = (entry for entry in clients_house.simulator.log() if entry["request_id"] == finished["request_id"].hex)
    assert entry["path"] == "/v1/messages"
    assert entry["body"]["max_tokens"] == 11
    assert set(entry["body"]) == {"model", "max_tokens", "messages", "stream"}


def test_a_stream_that_is_closed_ends_the_call_and_charges_it(clients_house: House) -> None:
    key = clients_house.new_key()
    clients_house.simulator.behave({"behaviour": {"stall_after_objects": 9, "stall_s": -1}})
    try:
        with (
            client_of(Scene(url=clients_house.url, api_key=key.text)) as client,
            client.messages.stream(model=MODEL, max_tokens=99, messages=QUESTION) as stream,
        ):
            assert any(event.type == "text" for event in stream)
        clients_house.settled()
    finally:
        clients_house.simulator.behave_normally()

    (finished,) = clients_house.rows("select * from audit where tenant_id = %s and event = 'finished'", key.tenant_id)
    assert finished["outcome"] == "hung_up"
    assert finished["output_tokens"] > 0
    assert clients_house.used(key) == finished["prompt_tokens"] + finished["output_tokens"]


def test_a_stranger_is_challenged(clients_house: House) -> None:
    answer = httpx.post(f"{clients_house.url}/v1/messages", json={"model": MODEL})

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert json.loads(answer.content)["error"]["type"] == "authentication_error"
