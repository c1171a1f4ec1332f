"""The official Python clients, with only base URL and key changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ollama
import openai
import pytest

from tests.e2e.house import House, Key

QUESTION: Any = [{"role": "user", "content": "Say hello."}]


@pytest.fixture(scope="module")
def key(house: House) -> Key:
    return house.new_key()


@pytest.fixture
def native(house: House, key: Key) -> Iterator[ollama.Client]:
    client = ollama.Client(host=house.url, headers=key.headers)
    yield client
    client._client.close()


@pytest.fixture
def compatible(house: House, key: Key) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{house.url}/v1", api_key=key.text, max_retries=0) as client:
        yield client


def test_ollama_chats(native: ollama.Client) -> None:
    answer = native.chat(model="sim-chat", messages=QUESTION)

    assert answer.message.content
    assert answer.done
    assert answer.model == "sim-chat"
    assert answer.eval_count


def test_ollama_streams(native: ollama.Client) -> None:
    parts = list(native.chat(model="sim-chat", messages=QUESTION, stream=True))

    assert len(parts) > 5
    assert parts[-1].done
    assert "".join(part.message.content or "" for part in parts)


def test_ollama_generates(native: ollama.Client) -> None:
    answer = native.generate(model="sim-chat", prompt="Say hello.", options={"num_predict": 7})

    assert answer.eval_count == 7
    assert answer.done_reason == "length"


def test_ollama_embeds(native: ollama.Client) -> None:
    answer = native.embed(model="sim-embed", input=["a cat", "a dog"])

    assert len(answer.embeddings) == 2


def test_ollama_embeds_in_the_former_way_and_its_tokens_are_counted(house: House) -> None:
    key = house.new_key()
    client = ollama.Client(host=house.url, headers=key.headers)

    former = client.embeddings(model="sim-embed", prompt="a cat").embedding
    house.settled()
    used = house.used(key)
    present = client.embed(model="sim-embed", input="a cat")
    client._client.close()

    assert list(former) == list(present.embeddings[0])
    assert used == present.prompt_eval_count


def test_ollama_lists_shows_and_sees_what_runs(native: ollama.Client) -> None:
    assert "sim-chat:latest" in {model.model for model in native.list().models}
    assert native.show("sim-chat").details
    assert native.ps().models is not None


def test_ollama_cannot_change_models(native: ollama.Client) -> None:
    with pytest.raises(ollama.ResponseError) as refused:
        native.pull("llama3")

    assert refused.value.status_code == 403
    assert "closed" in refused.value.error


def test_openai_chats(compatible: openai.OpenAI) -> None:
    answer = compatible.chat.completions.create(model="sim-chat", messages=QUESTION)

    assert answer.choices[0].message.content
    assert answer.usage is not None
    assert answer.usage.completion_tokens > 0


def test_openai_streams_without_usage_when_it_did_not_ask(compatible: openai.OpenAI) -> None:
    chunks = list(compatible.chat.completions.create(model="sim-chat", messages=QUESTION, stream=True))

    assert len(chunks) > 5
    assert all(chunk.usage is None for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason in ("stop", "length")


def test_openai_streams_with_usage_when_it_asked(compatible: openai.OpenAI) -> None:
    chunks = list(
        compatible.chat.completions.create(
            model="sim-chat", messages=QUESTION, stream=True, stream_options={"include_usage": True}
        )
    )

    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens > 0


def test_openai_completes_and_embeds_and_lists(compatible: openai.OpenAI) -> None:
    assert compatible.completions.create(model="sim-chat", prompt="Hello", max_tokens=5).choices[0].text
    assert len(compatible.embeddings.create(model="sim-embed", input=["a", "b"]).data) == 2
    assert "sim-chat:latest" in {model.id for model in compatible.models.list()}
    assert compatible.models.retrieve("sim-chat").id == "sim-chat"


def test_openai_raises_the_class_its_documentation_names(house: House, compatible: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        compatible.chat.completions.create(model="nope", messages=QUESTION)
    with (
        openai.OpenAI(base_url=f"{house.url}/v1", api_key="nz_wrong", max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError),
    ):
        stranger.models.list()

    assert unknown.value.code == "model_not_found"
