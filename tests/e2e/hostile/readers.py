"""Answers as the libraries of their dialects read them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Final

import anthropic
import httpx
import httpx2
import ollama
import openai

from tests.e2e.hostile.voices import Voice
from tests.e2e.hostile.watching import Heard

LIBRARY_ERRORS: Final = (ollama.ResponseError, openai.APIError, anthropic.APIError)


def library_reads(voice: Voice, heard: Heard) -> str:
    """The answer's text, or its vector in words, as the dialect's own library reads it; raises as the library does."""
    question = voice.question("m")
    if voice.path.startswith("/api/"):
        return "".join(_ollama_reads(voice.path, question, heard))
    if voice.path == "/v1/messages":
        return "".join(_anthropic_reads(question, heard))
    return "".join(_openai_reads(voice.path, question, heard))


def _ollama_reads(path: str, question: dict[str, Any], heard: Heard) -> Iterator[str]:
    headers = {"content-type": heard.headers["content-type"]}
    answer = httpx.Response(heard.status, headers=headers, content=heard.octets)
    library: Any = ollama.Client(host="http://gateway", transport=httpx.MockTransport(lambda _: answer))
    with contextlib.closing(library):
        found = getattr(library, path.removeprefix("/api/"))(**question)
        for part in found if question.get("stream") else [found]:
            match path:
                case "/api/chat":
                    yield part.message.content or ""
                case "/api/generate":
                    yield part.response
                case "/api/embed":
                    yield str(part.embeddings)
                case _:
                    yield str(part.embedding)


def _openai_reads(path: str, question: dict[str, Any], heard: Heard) -> Iterator[str]:
    streamed = question.get("stream", False)
    with (
        _replaying(heard) as http,
        openai.OpenAI(base_url="http://gateway/v1", api_key="k", max_retries=0, http_client=http) as client,
    ):
        library: Any = client
        match path:
            case "/v1/chat/completions":
                found = library.chat.completions.create(**question)
                for part in found if streamed else [found]:
                    for choice in part.choices:
                        yield (choice.delta if streamed else choice.message).content or ""
            case "/v1/completions":
                found = library.completions.create(**question)
                for part in found if streamed else [found]:
                    yield from (choice.text for choice in part.choices)
            case "/v1/embeddings":
                yield str(library.embeddings.create(**question, encoding_format="float").data[0].embedding)
            case _:
                found = library.responses.create(**question)
                for part in found if streamed else ():
                    yield part.delta if part.type == "response.output_text.delta" else ""
                yield "" if streamed else found.output_text


def _anthropic_reads(question: dict[str, Any], heard: Heard) -> Iterator[str]:
    with (
        _replaying(heard) as http,
        anthropic.Anthropic(base_url="http://gateway", api_key="k", max_retries=0, http_client=http) as client,
    ):
        found: Any = client.messages.create(**question)
        if not question["stream"]:
            yield from (block.text for block in found.content)
            return
        for part in found:
            if part.type == "content_block_delta":
                yield part.delta.text


@contextlib.contextmanager
def _replaying(heard: Heard) -> Iterator[httpx2.Client]:
    headers = {"content-type": heard.headers["content-type"]}
    answer = httpx2.Response(heard.status, headers=headers, content=heard.octets)
    with httpx2.Client(transport=httpx2.MockTransport(lambda _: answer)) as http:
        yield http
