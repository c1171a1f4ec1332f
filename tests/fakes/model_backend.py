"""A backend that answers from a script: nothing waits, nothing opens, everything is remembered."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence

import attrs
import msgspec

from domain.calls import Dialect, Endpoint
from domain.models import Model, canonical
from domain.ports.model_backend import Answer, ModelBackend, Survey, UpstreamCall
from domain.tally import Piece, Usage

ENDLESS_PIECES = 10_000
LLAMA = Model(
    name="llama3.2:1b",
    canonical=canonical("llama3.2:1b"),
    context_length=4096,
    capabilities=frozenset({"completion", "tools"}),
    listing={"name": "llama3.2:1b", "model": "llama3.2:1b", "digest": "d1"},
)


@attrs.frozen(kw_only=True)
class Scene:
    """One answer: its pieces, or the fault or refusal instead of it (`refuses`) or after them (`breaks`)."""

    pieces: Sequence[Piece] = ()
    refuses: Exception | None = None
    breaks: Exception | None = None
    waits: asyncio.Event | None = None
    """The head comes when this is set."""
    clogged: bool = False


class FakeAnswer(Answer):
    """An answer of the script."""

    def __init__(self, scene: Scene) -> None:
        self._pieces = deque(scene.pieces)
        self._scene = scene
        self.closed = False

    async def read(self) -> Piece | None:
        """The next piece."""
        await asyncio.sleep(0)
        if self.closed:
            return None
        if self._pieces:
            return attrs.evolve(self._pieces.popleft())
        if self._scene.breaks is not None:
            raise self._scene.breaks
        return None

    @property
    def clogged(self) -> bool:
        """As scripted, until it is closed."""
        return self._scene.clogged and not self.closed

    def close(self) -> None:
        """Remembers that."""
        self.closed = True


class FakeModelBackend(ModelBackend):
    """Plays the scenes it is given, one a call, then healthy answers of `natural_tokens` words."""

    def __init__(
        self,
        name: str = "fake",
        *,
        models: Iterable[Model] = (LLAMA,),
        most_in_flight: int = 4,
        natural_tokens: int = 8,
    ) -> None:
        self.name = name
        self.most_in_flight = most_in_flight
        self.models = list(models)
        self.natural_tokens = natural_tokens
        self.survey_fault: Exception | None = None
        self.calls: list[UpstreamCall] = []
        self.answers: list[FakeAnswer] = []
        self.closed = False
        self._scenes: deque[Scene] = deque()

    def play(self, *scenes: Scene) -> None:
        """Queues scenes for the coming calls."""
        self._scenes.extend(scenes)

    async def survey(self) -> Survey:
        """The models it was given."""
        if self.survey_fault is not None:
            raise self.survey_fault
        return Survey(version="0.33.0", models=tuple(self.models))

    async def open(self, upstream: UpstreamCall) -> Answer:
        """The next scene."""
        self.calls.append(upstream)
        scene = self._scenes.popleft() if self._scenes else healthy(upstream, tokens=self.natural_tokens)
        if scene.waits is not None:
            await scene.waits.wait()
        if scene.refuses is not None:
            raise scene.refuses
        answer = FakeAnswer(scene)
        self.answers.append(answer)
        return answer

    async def aclose(self) -> None:
        """Remembers that."""
        self.closed = True

    @property
    def open_answers(self) -> int:
        """Answers that nobody closed."""
        return sum(not answer.closed for answer in self.answers)


def healthy(upstream: UpstreamCall, *, tokens: int = 8, prompt: int = 11) -> Scene:
    """A whole answer of that many words, or of the cap."""
    call = upstream.call
    if not call.endpoint.generates:
        return Scene(pieces=[_embedding(upstream, prompt)])
    count = min(tokens, upstream.bounds.output)
    usage = Usage(prompt=prompt, output=count)
    if not call.streamed:
        return Scene(pieces=[_plain(upstream, "word " * count, usage)])
    return Scene(pieces=[*words(upstream, count), *_ending(upstream, usage)])


def words(upstream: UpstreamCall, count: int, word: str = "word ") -> list[Piece]:
    """Pieces of one word each."""
    raw = _object(upstream, word, done=False)
    return [Piece(raw, objects=1, text_bytes=len(word)) for _ in range(count)]


def _ending(upstream: UpstreamCall, usage: Usage) -> list[Piece]:
    if upstream.call.endpoint.dialect is Dialect.NATIVE:
        return [Piece(_object(upstream, "", done=True), usage=usage, ended=True)]
    counts = {"prompt_tokens": usage.prompt, "completion_tokens": usage.output}
    chunk = _event({"model": upstream.call.model, "choices": [], "usage": counts})
    return [
        Piece(chunk if upstream.call.wants_usage else b"", usage=usage),
        Piece(b"data: [DONE]\n\n", ended=True),
    ]


def _object(upstream: UpstreamCall, text: str, *, done: bool) -> bytes:
    model = upstream.call.model
    match upstream.call.endpoint:
        case Endpoint.NATIVE_CHAT:
            found = {"model": model, "message": {"role": "assistant", "content": text}, "done": done}
        case Endpoint.NATIVE_GENERATE:
            found = {"model": model, "response": text, "done": done}
        case Endpoint.OPENAI_CHAT:
            return _event({"model": model, "choices": [{"index": 0, "delta": {"content": text}}]})
        case _:
            return _event({"model": model, "choices": [{"index": 0, "text": text}]})
    return msgspec.json.encode(found) + b"\n"


def _plain(upstream: UpstreamCall, text: str, usage: Usage) -> Piece:
    native = upstream.call.endpoint.dialect is Dialect.NATIVE
    if native:
        raw = _object(upstream, text, done=True).rstrip()
    else:
        raw = msgspec.json.encode({"model": upstream.call.model, "choices": [{"message": {"content": text}}]})
    return Piece(raw, objects=1, text_bytes=len(text), usage=usage, ended=True)


def _embedding(upstream: UpstreamCall, prompt: int) -> Piece:
    raw = msgspec.json.encode({"model": upstream.call.model, "embeddings": [[0.5, 0.25]]})
    return Piece(raw, usage=Usage(prompt=prompt, output=None), ended=True)


def _event(found: object) -> bytes:
    return b"data: %b\n\n" % msgspec.json.encode(found)
