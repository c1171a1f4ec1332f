"""Finds models that have stopped for good while their backend looks well, keeps calls away, and sees their return.

A hang-up can cost Ollama a runner's slot for ever (ollama issue #17131); when the last is gone the model never answers
again until the server restarts, while `/api/ps` and `/api/tags` go on answering. Such a runner is **wedged**::

    well --a loaded model lets calls wait past the deadline, twice, and gives nothing to anybody--> wedged
    wedged --it answers a probe, or is not loaded any more: its server has restarted--> well

A wait tells of the model only if a survey that began in it was good and none has failed since: else it may have been
the server, or a line that died half. Only who waits in vain for a stream's first byte tells anything: an answer that is
not streamed may be under way. And callers that leave before the deadline would hide the trouble for ever. So where one
of these is all that is seen, a probe of one token waits as patiently as the setting says a caller may.

What one gateway finds it puts on a board for all of them; without it each finds out by itself.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from enum import Enum

import structlog

from application.backends import Backends
from application.signs_of_life import SignsOfLife
from domain.calls import Bounds, Call, Endpoint
from domain.faults import BackendFault, StoreUnavailable
from domain.models import Model, shortest
from domain.ports.model_backend import ModelBackend, UpstreamCall
from domain.ports.surroundings import Entropy
from domain.ports.wedge_board import Runner, WedgeBoard
from domain.refusals import BackendRejected

STRIKES = 2
FIRST_PROBE_S = 3.0
"""Then twice as long each time, up to `PROBE_EVERY_S`: what was only the line, or slow, is back soon."""
PROBE_EVERY_S = 30.0
_SUSPICIOUS_PART = 0.1
"""Of the deadline: who left sooner says nothing."""
_PROBE_BOUNDS = Bounds(prompt=64, output=1)
_log = structlog.get_logger("neuronetz")


class Heard(Enum):
    """What a probe met."""

    ANSWER = "answer"
    SILENCE = "silence"
    FAULT = "fault"
    """The server, or the way to it: nothing is known of the runner."""


class Watchdog:
    """Of one gateway process. Times are of the monotonic clock, in seconds."""

    def __init__(
        self,
        *,
        backends: Backends,
        signs: SignsOfLife,
        board: WedgeBoard,
        entropy: Entropy,
        patience_s: float,
        probe_every_s: float = PROBE_EVERY_S,
    ) -> None:
        """Does nothing yet.

        Args:
            backends: learn what is wedged.
            signs: of life.
            board: of all gateways.
            entropy: names the probes.
            patience_s: the deadline for a first byte.
            probe_every_s: at most between two probes of a wedged runner, and at most how long each waits.
        """
        self._backends = backends
        self._signs = signs
        self._board = board
        self._entropy = entropy
        self._patience_s = patience_s
        self._probe_every_s = probe_every_s
        self._strikes: Counter[Runner] = Counter()
        self._pauses_s: dict[Runner, float] = {}
        """How long the next probe waits, of those that have not answered one."""
        self._suspects: set[Runner] = set()
        self._probed: set[Runner] = set()
        """Those with a probe of ours under way."""

    # -- what calls tell ----------------------------------------------------------------------------------------

    def answers(self, runner: Runner) -> None:
        """A first piece came from it."""
        self._signs.note(runner, self._signs.now_s())
        if self._strikes or self._suspects:
            self._strikes.pop(runner, None)
            self._suspects.discard(runner)
        if runner in self._backends.wedged:
            self._clear(runner)

    def gave(self, runner: Runner, last_s: float) -> None:
        """An answer of it has ended, whose last piece came then."""
        self._signs.note(runner, last_s)

    def waited_in_vain(self, runner: Runner, since_s: float, *, streamed: bool) -> None:
        """A call that was sent to a loaded model has ended before its first byte."""
        if not self._is_stuck(runner, since_s):
            return
        waited_s = self._signs.now_s() - since_s
        if streamed and waited_s >= self._patience_s and self._backends.was_well_since(runner.backend, since_s):
            self._strike(runner)
        elif waited_s >= self._patience_s * _SUSPICIOUS_PART:
            self._suspects.add(runner)

    def _strike(self, runner: Runner) -> None:
        self._strikes[runner] += 1
        self._suspects.add(runner)
        if self._strikes[runner] >= STRIKES and self._backends.wedge(runner):
            _log.error(
                "model_wedged",
                backend=runner.backend,
                model=shortest(runner.model),
                remedy="restart Ollama there; until then its calls go to other backends",
            )
            self._board.found_wedged(runner)

    def _clear(self, runner: Runner) -> None:
        self._strikes.pop(runner, None)
        self._pauses_s.pop(runner, None)
        self._suspects.discard(runner)
        if self._backends.unwedge(runner):
            _log.info("model_answers_again", backend=runner.backend, model=shortest(runner.model))
            self._board.found_well(runner)

    # -- what it does by itself ---------------------------------------------------------------------------------

    async def look(self, probes: asyncio.TaskGroup) -> None:
        """One round: what others have found, what is gone, whom to probe. The probes go on beside it."""
        await self._read_board()
        for runner in {*self._backends.wedged, *self._suspects}:
            if self._backends.is_healthy(runner.backend) and not self._is_loaded(runner):
                self._clear(runner)
                self._suspects.discard(runner)
        for runner in self._due():
            self._probed.add(runner)
            probes.create_task(self._probe(runner))

    async def _read_board(self) -> None:
        try:
            said = await self._board.read()
        except StoreUnavailable:
            return  # what is known here stands
        for runner, wedged in said.items():
            if wedged and self._backends.wedge(runner):
                _log.error("model_wedged_elsewhere", backend=runner.backend, model=shortest(runner.model))
            elif not wedged and self._backends.unwedge(runner):
                self._strikes.pop(runner, None)
                self._pauses_s.pop(runner, None)
        for runner in self._backends.wedged:
            self._board.still_wedged(runner)

    def _due(self) -> Sequence[Runner]:
        return [
            runner
            for runner in {*self._backends.wedged, *self._suspects} - self._probed
            if self._backends.is_healthy(runner.backend)
        ]

    async def _probe(self, runner: Runner) -> None:
        """Bounded, and never raises: a probe that fails says nothing but that."""
        try:
            if runner in self._backends.wedged:
                await self._probe_wedged(runner)
            else:
                await self._probe_suspect(runner)
        except Exception:  # noqa: BLE001  a bug here must not end the process's upkeep
            _log.exception("probe_failed", backend=runner.backend)
        finally:
            self._probed.discard(runner)

    async def _probe_wedged(self, runner: Runner) -> None:
        pause_s = self._pauses_s.get(runner, FIRST_PROBE_S)
        if await self._is_mine_to_probe(runner, pause_s) and await self._ask(runner, pause_s) is Heard.ANSWER:
            self._clear(runner)
        else:
            self._pauses_s[runner] = min(2 * pause_s, self._probe_every_s)
            await asyncio.sleep(pause_s)

    async def _probe_suspect(self, runner: Runner) -> None:
        began_s = self._signs.now_s()
        self._suspects.discard(runner)
        heard = await self._ask(runner, self._patience_s)
        if heard is Heard.ANSWER:
            self._clear(runner)
        elif (
            heard is Heard.SILENCE
            and self._is_stuck(runner, began_s)
            and self._backends.was_well_since(runner.backend, began_s)
        ):
            self._strike(runner)

    async def _is_mine_to_probe(self, runner: Runner, pause_s: float) -> bool:
        try:
            return await self._board.may_probe(runner, pause_s)
        except StoreUnavailable:
            return True

    async def _ask(self, runner: Runner, within_s: float) -> Heard:
        model = self._backends.catalogue.hosts(runner.model).get(runner.backend)
        if model is None:
            return Heard.FAULT
        request_id = self._entropy.request_id()
        heard = await _heard(self._backends[runner.backend], probe_of(model, request_id), within_s)
        _log.info(
            "model_probed",
            request_id=request_id,
            backend=runner.backend,
            model=shortest(runner.model),
            heard=heard.value,
        )
        return heard

    def _is_stuck(self, runner: Runner, since_s: float) -> bool:
        """As far as can be seen: it is loaded, its backend well, and nothing has come from it since then."""
        return self._is_loaded(runner) and not self._signs.since(since_s, runner.backend, runner.model)

    def _is_loaded(self, runner: Runner) -> bool:
        model = self._backends.catalogue.hosts(runner.model).get(runner.backend)
        return model is not None and model.loaded and self._backends.is_healthy(runner.backend)


def probe_of(model: Model, request_id: str) -> UpstreamCall:
    """The least that a model can be asked: one token, or one vector where it makes none. No tenant's call."""
    generates = not model.capabilities or "completion" in model.capabilities
    call = Call(
        endpoint=Endpoint.NATIVE_GENERATE if generates else Endpoint.NATIVE_EMBED,
        model=model.name,
        streamed=generates,
        fields={"prompt" if generates else "input": "Hi"},
        inputs_bytes=(2,),
    )
    return UpstreamCall(request_id=request_id, call=call, model=model, bounds=_PROBE_BOUNDS)


async def _heard(backend: ModelBackend, upstream: UpstreamCall, within_s: float) -> Heard:
    try:
        async with asyncio.timeout(within_s):
            answer = await backend.open(upstream)
            try:
                while await answer.read() is not None:
                    pass
            finally:
                answer.close()
    except TimeoutError:
        return Heard.SILENCE
    except BackendRejected:
        return Heard.ANSWER  # it cannot be asked this, and says so
    except BackendFault:
        return Heard.FAULT
    return Heard.ANSWER
