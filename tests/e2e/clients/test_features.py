"""What people build with: answers, streams, tools, structured output, thinking, images and embeddings, each through the
real Python libraries.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import langchain_ollama
import langchain_openai
import ollama
import openai
import pydantic
import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from pydantic import SecretStr

from tests.e2e.house import House, Key

CHAT, THINKER, SEER, EMBEDDER = "sim-chat", "sim-think", "sim-vision", "sim-embed"
QUESTION: Any = [{"role": "user", "content": "Use the tool: what is the weather in Bern?"}]
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(64)).decode()
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a town.",
        "parameters": {"type": "object", "properties": {"town": {"type": "string"}}, "required": ["town"]},
    },
}


class Note(pydantic.BaseModel):
    """What a structured answer must be; the simulated model always makes a note."""

    note: str


@pytest.fixture(scope="module")
def key(clients_house: House) -> Key:
    return clients_house.new_key()


@pytest.fixture
def compatible(clients_house: House, key: Key) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{clients_house.url}/v1", api_key=key.text, max_retries=0) as client:
        yield client


@pytest.fixture
def native(clients_house: House, key: Key) -> Iterator[Any]:
    client: Any = ollama.Client(host=clients_house.url, headers=key.headers)
    yield client
    client.close()


@pytest.fixture(params=["langchain-openai", "langchain-ollama"])
def chain(clients_house: House, key: Key, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A chat model of langchain's, in either dialect."""
    if request.param == "langchain-openai":
        with openai.DefaultHttpxClient() as http:
            yield langchain_openai.ChatOpenAI(
                base_url=f"{clients_house.url}/v1",
                api_key=SecretStr(key.text),
                model=CHAT,
                http_client=http,
                max_retries=0,
            )
    else:
        model: Any = langchain_ollama.ChatOllama(
            base_url=clients_house.url, model=CHAT, client_kwargs={"headers": key.headers}
        )
        yield model
        model._client.close()


def _again(message: Any) -> Any:
    """An answer as it is sent back."""
    return message.model_dump(exclude_none=True)


# -- openai -----------------------------------------------------------------------------------------------------


def test_openai_calls_a_tool_and_is_answered(compatible: openai.OpenAI) -> None:
    first = compatible.chat.completions.create(model=CHAT, messages=QUESTION, tools=[WEATHER], tool_choice="auto")
    asked = first.choices[0].message
    assert first.choices[0].finish_reason == "tool_calls"
    assert asked.tool_calls is not None

    result: Any = {"role": "tool", "tool_call_id": asked.tool_calls[0].id, "content": "Rain."}
    second = compatible.chat.completions.create(
        model=CHAT, messages=[*QUESTION, _again(asked), result], tools=[WEATHER], n=1
    )

    assert asked.tool_calls[0].to_dict()["function"]["name"] == "weather"  # type: ignore[index]  # a plain dictionary
    assert second.choices[0].message.content


def test_openai_streams_a_tool_call_through_its_helper(compatible: openai.OpenAI) -> None:
    with compatible.chat.completions.stream(model=CHAT, messages=QUESTION, tools=[WEATHER]) as stream:
        final = stream.get_final_completion()

    assert final.choices[0].message.tool_calls


def test_openai_parses_structured_output(compatible: openai.OpenAI) -> None:
    answer = compatible.chat.completions.parse(model=CHAT, messages=QUESTION, response_format=Note)

    assert isinstance(answer.choices[0].message.parsed, Note)


def test_openai_sees_the_thinking_of_a_model(compatible: openai.OpenAI) -> None:
    answer = compatible.chat.completions.create(model=THINKER, messages=QUESTION, reasoning_effort="low")
    chunks = compatible.chat.completions.create(model=THINKER, messages=QUESTION, stream=True)

    assert answer.choices[0].message.to_dict()["reasoning"]
    assert any("reasoning" in chunk.choices[0].delta.to_dict() for chunk in chunks if chunk.choices)


def test_openai_shows_an_image_and_never_has_one_fetched(compatible: openai.OpenAI) -> None:
    def look(url: str) -> Any:
        parts = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": url}}]
        return compatible.chat.completions.create(model=SEER, messages=[{"role": "user", "content": parts}])  # type: ignore[misc,list-item]  # the library's own typed dictionaries

    assert look(f"data:image/png;base64,{PNG}").choices[0].message.content
    with pytest.raises(openai.BadRequestError, match="not fetched") as refused:
        look("https://example.com/cat.png")
    assert refused.value.param == "messages[0].content[1].image_url.url"


def test_openai_caps_its_answer_by_either_name(compatible: openai.OpenAI) -> None:
    old = compatible.chat.completions.create(model=CHAT, messages=QUESTION, max_tokens=3)
    new = compatible.chat.completions.create(model=CHAT, messages=QUESTION, max_completion_tokens=3)

    for answer in (old, new):
        assert answer.usage is not None and answer.usage.completion_tokens == 3
        assert answer.choices[0].finish_reason == "length"


def test_openai_embeds_texts_and_is_told_why_tokens_are_not_taken(compatible: openai.OpenAI) -> None:
    assert len(compatible.embeddings.create(model=EMBEDDER, input=["a", "b"]).data) == 2
    with pytest.raises(openai.BadRequestError, match="token arrays"):
        compatible.embeddings.create(model=EMBEDDER, input=[1, 2, 3])


# -- ollama -----------------------------------------------------------------------------------------------------


def test_ollama_calls_a_tool_and_is_answered(native: Any) -> None:
    asked = native.chat(model=CHAT, messages=QUESTION, tools=[WEATHER]).message
    assert asked.tool_calls

    second = native.chat(
        model=CHAT, messages=[*QUESTION, asked, {"role": "tool", "content": "Rain.", "tool_name": "weather"}]
    )

    assert asked.tool_calls[0].function.name == "weather"
    assert second.message.content


def test_ollama_structures_its_answer(native: Any) -> None:
    answer = native.chat(model=CHAT, messages=QUESTION, format=Note.model_json_schema())

    assert Note.model_validate_json(answer.message.content or "").note


def test_ollama_thinks_whole_and_streamed(native: Any) -> None:
    whole = native.chat(model=THINKER, messages=QUESTION, think=True)
    parts = list(native.chat(model=THINKER, messages=QUESTION, think=True, stream=True))

    assert whole.message.thinking
    assert any(part.message.thinking for part in parts)


def test_ollama_shows_an_image(native: Any) -> None:
    answer = native.chat(model=SEER, messages=[{"role": "user", "content": "What is it?", "images": [PNG]}])

    assert answer.message.content


def test_ollama_embeds_in_the_new_way_and_the_old(native: Any) -> None:
    new, old = native.embed(model=EMBEDDER, input="a cat"), native.embeddings(model=EMBEDDER, prompt="a cat")

    assert list(old.embedding) == pytest.approx(list(new.embeddings[0]))


# -- langchain --------------------------------------------------------------------------------------------------


def test_a_chain_answers_and_streams_with_its_usage(chain: Any) -> None:
    whole = chain.invoke("Say hello.")
    streamed = list(chain.stream("Say hello."))

    assert whole.usage_metadata is not None
    assert len(streamed) > 3


def test_a_chain_calls_a_tool_and_is_answered(chain: Any) -> None:
    model = chain.bind_tools([WEATHER])

    asked = model.invoke([HumanMessage("Use the tool: what is the weather in Bern?")])
    result = ToolMessage("Rain.", tool_call_id=asked.tool_calls[0]["id"])
    second = model.invoke([HumanMessage("Use the tool: what is the weather in Bern?"), asked, result])

    assert asked.tool_calls[0]["name"] == "weather"
    assert second.content


def test_a_chain_structures_its_answer(chain: Any) -> None:
    model = chain.with_structured_output(Note, method="json_schema")

    assert isinstance(model.invoke("Make a note."), Note)


def test_chains_embed(clients_house: House, key: Key) -> None:
    native: Any = langchain_ollama.OllamaEmbeddings(
        base_url=clients_house.url, model=EMBEDDER, client_kwargs={"headers": key.headers}
    )
    with openai.DefaultHttpxClient() as http:
        compatible = langchain_openai.OpenAIEmbeddings(
            base_url=f"{clients_house.url}/v1",
            api_key=SecretStr(key.text),
            model=EMBEDDER,
            check_embedding_ctx_length=False,
            http_client=http,
            max_retries=0,
        )

        for embeddings in (compatible, native):
            assert len(embeddings.embed_documents(["a cat", "a dog"])) == 2
    native._client.close()
