"""What every `ModelBackend` keeps. A test class inherits this and says how to make one.

The backend under test has the model `llama3.2:1b`, answers a call for it with some text, and with the least of its
natural length and the cap in tokens.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from typing import Any

import pytest

from domain.calls import Bounds, Call, Endpoint
from domain.faults import BackendFailed, BackendUnreachable
from domain.models import Model, canonical
from domain.ports.model_backend import Answer, ModelBackend, UpstreamCall
from domain.refusals import BackendRejected
from domain.tally import Piece, Tally

MODEL = "llama3.2:1b"
REQUEST_ID = "f" * 32
GENERATING = [endpoint for endpoint in Endpoint if endpoint.generates]
NAMING = [endpoint for endpoint in Endpoint if endpoint is not Endpoint.NATIVE_EMBEDDINGS]
"""Whose answers name the model."""


def upstream(
    endpoint: Endpoint = Endpoint.NATIVE_CHAT,
    *,
    streamed: bool = True,
    model: str = MODEL,
    asked_as: str | None = None,
    output: int = 50,
    wants_usage: bool = False,
) -> UpstreamCall:
    fields: dict[str, Any] = {"messages": [{"role": "user", "content": "hello there"}]}
    if endpoint in (Endpoint.NATIVE_GENERATE, Endpoint.OPENAI_COMPLETIONS, Endpoint.NATIVE_EMBEDDINGS):
        fields = {"prompt": "hello there"}
    elif endpoint is Endpoint.RESPONSES or not endpoint.generates:
        fields = {"input": "hello there"}
    call = Call(
        endpoint=endpoint,
        model=asked_as or model,
        streamed=streamed and endpoint.generates,
        fields=fields,
        inputs_bytes=(11,),
        wants_usage=wants_usage,
    )
    bounds = Bounds(prompt=50, output=output if endpoint.generates else 0)
    return UpstreamCall(
        request_id=REQUEST_ID, call=call, model=Model(name=model, canonical=canonical(model)), bounds=bounds
    )


async def pieces_of(answer: Answer) -> list[Piece]:
    found = []
    while (piece := await answer.read()) is not None:
        found.append(piece)
    answer.close()
    return found


def tally_of(pieces: list[Piece]) -> Tally:
    tally = Tally()
    for piece in pieces:
        tally.see(piece)
    return tally


async def _see_all(answer: Answer, tally: Tally) -> None:
    while (piece := await answer.read()) is not None:
        tally.see(piece)


class ModelBackendContract(ABC):
    """The suite."""

    @pytest.fixture
    @abstractmethod
    def backend(self) -> Any:
        """A healthy backend with the model."""

    @abstractmethod
    async def fail_next(self, how: str) -> None:
        """Makes the next call go wrong: `rejected` (a 400), `unreachable`, `breaks` (broken after some text),
        `guard` (a clean end without the final object), `error` (the dialect's error after some text), `silent` (no
        head for a long time), `endless` (text without end).
        """

    @pytest.fixture(autouse=True)
    async def _closed(self, backend: ModelBackend) -> AsyncIterator[None]:
        yield
        await backend.aclose()

    async def test_a_survey_lists_the_model(self, backend: ModelBackend) -> None:
        survey = await backend.survey()

        assert survey.version
        model = next(model for model in survey.models if model.canonical == canonical(MODEL))
        assert model.name == MODEL
        assert model.context_length
        assert "completion" in model.capabilities

    @pytest.mark.parametrize("streamed", [True, False])
    @pytest.mark.parametrize("endpoint", GENERATING)
    async def test_an_answer_ends_with_its_mark_and_counts(
        self, backend: ModelBackend, endpoint: Endpoint, *, streamed: bool
    ) -> None:
        answer = await backend.open(upstream(endpoint, streamed=streamed, output=5))

        pieces = await pieces_of(answer)

        tally = tally_of(pieces)
        assert tally.ended
        assert all(piece.error is None for piece in pieces)
        assert tally.text_bytes > 0
        assert tally.usage is not None
        assert tally.usage.prompt is not None
        assert tally.usage.prompt > 0
        assert tally.usage.output == 5
        if streamed:
            assert tally.objects == 5

    @pytest.mark.parametrize("endpoint", [endpoint for endpoint in Endpoint if not endpoint.generates])
    async def test_an_embedding_counts_its_prompt(self, backend: ModelBackend, endpoint: Endpoint) -> None:
        tally = tally_of(await pieces_of(await backend.open(upstream(endpoint))))

        assert tally.ended
        assert tally.usage is not None
        assert tally.usage.prompt
        assert tally.usage.output is None

    @pytest.mark.parametrize("streamed", [True, False])
    @pytest.mark.parametrize("endpoint", NAMING)
    async def test_the_answer_names_the_model_as_the_caller_does(
        self, backend: ModelBackend, endpoint: Endpoint, *, streamed: bool
    ) -> None:
        asked = upstream(endpoint, streamed=streamed, asked_as="Library/LLAMA3.2:1B")

        raw = b"".join(piece.raw for piece in await pieces_of(await backend.open(asked)))

        assert b'"model":"Library/LLAMA3.2:1B"' in raw
        assert b'"model":"llama3.2:1b"' not in raw

    @pytest.mark.parametrize("wanted", [True, False])
    async def test_the_usage_chunk_passes_only_if_it_was_asked_for(
        self, backend: ModelBackend, *, wanted: bool
    ) -> None:
        for endpoint in (Endpoint.OPENAI_CHAT, Endpoint.OPENAI_COMPLETIONS):
            pieces = await pieces_of(await backend.open(upstream(endpoint, wants_usage=wanted)))

            assert (b'"usage"' in b"".join(piece.raw for piece in pieces)) is wanted
            assert tally_of(pieces).usage is not None

    async def test_a_refusal_carries_its_status(self, backend: ModelBackend) -> None:
        await self.fail_next("rejected")

        with pytest.raises(BackendRejected) as refused:
            await backend.open(upstream())

        assert refused.value.status == 400

    async def test_a_backend_that_is_not_there_is_unreachable(self, backend: ModelBackend) -> None:
        await self.fail_next("unreachable")

        with pytest.raises(BackendUnreachable):
            await backend.open(upstream())

    async def test_what_came_before_a_break_was_delivered(self, backend: ModelBackend) -> None:
        await self.fail_next("breaks")
        answer = await backend.open(upstream())
        tally = Tally()

        with pytest.raises(BackendFailed):
            await _see_all(answer, tally)
        answer.close()

        assert tally.objects > 0
        assert not tally.ended

    async def test_the_end_of_http_is_not_the_end_of_the_answer(self, backend: ModelBackend) -> None:
        await self.fail_next("guard")

        tally = tally_of(await pieces_of(await backend.open(upstream())))

        assert tally.objects > 0
        assert not tally.ended
        assert tally.usage is None

    @pytest.mark.parametrize("endpoint", [Endpoint.NATIVE_CHAT, Endpoint.OPENAI_CHAT])
    async def test_an_error_in_mid_stream_is_told_and_not_passed(
        self, backend: ModelBackend, endpoint: Endpoint
    ) -> None:
        await self.fail_next("error")

        pieces = await pieces_of(await backend.open(upstream(endpoint)))

        assert any(piece.error for piece in pieces)
        assert not tally_of(pieces).ended
        raw = b"".join(piece.raw for piece in pieces)
        assert b'"error"' not in raw
        assert b'"model":""' not in raw

    async def test_a_call_may_be_cancelled_while_it_waits(self, backend: ModelBackend) -> None:
        await self.fail_next("silent")
        task = asyncio.create_task(backend.open(upstream()))
        await asyncio.sleep(0.05)

        task.cancel()

        with pytest.raises(asyncio.CancelledError):
            await task
        assert tally_of(await pieces_of(await backend.open(upstream()))).ended

    async def test_close_returns_at_once_and_reading_ends(self, backend: ModelBackend) -> None:
        await self.fail_next("endless")
        answer = await backend.open(upstream())
        assert await answer.read()

        answer.close()
        answer.close()

        assert await answer.read() is None
        assert not answer.clogged
        assert tally_of(await pieces_of(await backend.open(upstream()))).ended
