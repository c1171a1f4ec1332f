"""The Python libraries, each brought to make one call and to say how it ended.

A library is left as its makers ship it; only address and key are set, its retries where the test says so, and a counter
on the requests that leave it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import langchain_ollama
import langchain_openai
import ollama
import openai
from pydantic import SecretStr

from tests.e2e.clients.troubles import RETRIES, Scene


@attrs.define
class Watched:
    """What left a library, and what came back."""

    requests: int = 0
    last: Any = None
    """The last response, of whichever httpx the library has."""

    def hooks(self) -> dict[str, list[Callable[..., Any]]]:
        def sent(_: Any) -> None:
            self.requests += 1

        def answered(response: Any) -> None:
            self.last = response

        return {"request": [sent], "response": [answered]}


def watched_client(watched: Watched) -> openai.DefaultHttpxClient:
    return openai.DefaultHttpxClient(event_hooks=watched.hooks())


def _question(scene: Scene) -> Any:
    return [{"role": "user", "content": scene.text}]


def call_openai(scene: Scene, watched: Watched, *, streamed: bool, retries: int = RETRIES) -> None:
    with (
        watched_client(watched) as http,
        openai.OpenAI(
            base_url=f"{scene.url}/v1",
            api_key=scene.api_key,
            default_headers=scene.headers,
            http_client=http,
            max_retries=retries,
        ) as client,
    ):
        answer: Any = client.chat.completions.create(model=scene.model, messages=_question(scene), stream=streamed)
        if streamed:
            list(answer)


def call_langchain_openai(scene: Scene, watched: Watched, *, streamed: bool, retries: int = RETRIES) -> None:
    with watched_client(watched) as http:
        model = langchain_openai.ChatOpenAI(
            base_url=f"{scene.url}/v1",
            api_key=SecretStr(scene.api_key),
            model=scene.model,
            default_headers=scene.headers,
            http_client=http,
            max_retries=retries,
        )
        _ask_langchain(model, scene, streamed=streamed)


def call_ollama(scene: Scene, watched: Watched, *, streamed: bool, retries: int = RETRIES) -> None:
    del retries  # it never tries again
    headers = {"Authorization": f"Bearer {scene.api_key}", **scene.headers}
    client: Any = ollama.Client(host=scene.url, headers=headers, event_hooks=watched.hooks())
    try:
        answer = client.chat(model=scene.model, messages=_question(scene), stream=streamed)
        if streamed:
            list(answer)
    finally:
        client.close()


def call_langchain_ollama(scene: Scene, watched: Watched, *, streamed: bool, retries: int = RETRIES) -> None:
    del retries  # it never tries again
    headers = {"Authorization": f"Bearer {scene.api_key}", **scene.headers}
    model: Any = langchain_ollama.ChatOllama(
        base_url=scene.url,
        model=scene.model,
        client_kwargs={"headers": headers},
        sync_client_kwargs={"event_hooks": watched.hooks()},
    )
    try:
        _ask_langchain(model, scene, streamed=streamed)
    finally:
        model._client.close()


def _ask_langchain(model: Any, scene: Scene, *, streamed: bool) -> None:
    if streamed:
        list(model.stream(scene.text))
    else:
        model.invoke(scene.text)


Call = Callable[..., None]
_BY_STATUS: dict[int, type[Exception]] = {
    401: openai.AuthenticationError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    413: openai.APIStatusError,
    415: openai.APIStatusError,
    429: openai.RateLimitError,
    503: openai.InternalServerError,
}


def openai_class(status: int) -> type[Exception]:
    """The class that openai's documentation names for a status; in mid-stream it is `APIError`."""
    return _BY_STATUS.get(status, openai.APIError)


def ollama_class(_: int) -> type[Exception]:
    """Ollama's library has one class for everything that a server says."""
    return ollama.ResponseError


@attrs.frozen
class Library:
    """One library, and what it promises."""

    call: Call
    class_of: Callable[[int], type[Exception]]
    retries: bool


LIBRARIES = {
    "openai": Library(call_openai, openai_class, retries=True),
    "langchain-openai": Library(call_langchain_openai, openai_class, retries=True),
    "ollama": Library(call_ollama, ollama_class, retries=False),
    "langchain-ollama": Library(call_langchain_ollama, ollama_class, retries=False),
}
