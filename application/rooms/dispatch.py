"""Room 6: choose a backend, wait for a turn, send, and read the first piece, so that a failure can still be a status.

A backend that cannot be connected to got nothing, so the next one may be tried; anything later is final, because a
second backend would make a second answer.
"""

from __future__ import annotations

import asyncio
from functools import partial

import attrs
import structlog

from application.afterwork import Afterwork
from application.backends import Backends
from application.live_calls import LiveCall, Waiting
from application.watchdog import Watchdog
from domain.calls import Bounds, PermittedCall
from domain.faults import BackendFailed, BackendUnreachable, FaultCode, Overloaded
from domain.ports.model_backend import Answer, UpstreamCall
from domain.ports.surroundings import Clock
from domain.ports.turns import Turn, Turns
from domain.ports.wedge_board import Runner
from domain.refusals import BackendRejected
from domain.routing import in_tiers
from domain.settlement import Sent
from domain.tally import Piece

_log = structlog.get_logger("neuronetz")


@attrs.define
class Dispatch:
    """A call's stay at a backend: what it has taken there, and what must be given back."""

    backends: Backends
    turns: Turns
    clock: Clock
    afterwork: Afterwork
    watchdog: Watchdog
    sent: Sent = Sent.NO
    backend: str | None = None
    answer: Answer | None = None
    _turn: Turn | None = None
    _live: LiveCall | None = None
    """The call itself, from its first piece on."""
    asked_s: float | None = None
    """When it began to wait for a turn, on the monotonic clock."""
    turn_s: float | None = None
    """When its turn came, on the monotonic clock."""
    first_byte_s: float | None = None
    rest_s: float = 0.0
    """How long the backend will likely go on after this call was abandoned; until then its places stay taken."""

    async def first_piece(self, request_id: str, permitted: PermittedCall, bounds: Bounds, live: LiveCall) -> Piece:
        """Sends the call where it is best served and waits for the first piece.

        Raises:
            Fault: no backend could take it, nobody can say whether one may, or the one that did failed.
            BackendRejected: the backend refused the request.
        """
        model = permitted.model.canonical
        hosts = dict(self.backends.healthy_hosts(model))
        self.asked_s = self.clock.monotonic_s()
        while hosts:
            self.turn_s = None
            self._turn = await self.turns.take(in_tiers(hosts))
            name = self._turn.backend
            if Runner(name, model) in self.backends.wedged:  # found out while this call stood in line
                self._end_turn()
                del hosts[name]
                continue
            self.backend = name
            self.turn_s = self.clock.monotonic_s()
            upstream = UpstreamCall(request_id=request_id, call=permitted.call, model=hosts[name], bounds=bounds)
            try:
                return await self._open(name, upstream, live)
            except BackendUnreachable:
                self._leave_unreachable(name, live)
                del hosts[name]
                if not hosts or live.drains:
                    raise
        raise self._nobody(model)

    def _nobody(self, model: str) -> Overloaded:
        if any(runner.model == model and self.backends.is_healthy(runner.backend) for runner in self.backends.wedged):
            sentence = "This model has stopped answering; the gateway's operator must restart its backend."
            return Overloaded(FaultCode.MODEL_WEDGED, sentence, retry_after_s=30)
        sentence = "No model backend is available now. Please try again."
        return Overloaded(FaultCode.NO_BACKEND, sentence, retry_after_s=5)

    async def _open(self, name: str, upstream: UpstreamCall, live: LiveCall) -> Piece:
        runner = live.runner = Runner(name, upstream.model.canonical)
        live.waits_for, live.since_s = Waiting.FIRST_BYTE, self.clock.monotonic_s()
        self.sent = Sent.YES  # before the await: a cancelled send may have arrived
        try:
            answer = await self.backends[name].open(upstream)
            self.answer = live.answer = answer
            piece = await answer.read()
        except asyncio.CancelledError:
            self._abandon(runner, upstream, live)
            raise
        except BackendRejected:
            self.sent = Sent.REFUSED
            raise
        except BackendFailed as fault:
            if fault.refused:
                self.sent = Sent.REFUSED
            elif fault.answered:
                self.sent = Sent.ERRED
            raise
        if piece is None:
            raise BackendFailed("The model backend closed without an answer.")
        self.first_byte_s = self.clock.monotonic_s()
        self._live = live
        self.watchdog.answers(runner)
        if upstream.call.streamed and upstream.model.loaded:
            self.afterwork.learn(
                name, upstream.model.canonical, upstream.bounds.prompt, self.first_byte_s - live.since_s
            )
        return piece

    def _abandon(self, runner: Runner, upstream: UpstreamCall, live: LiveCall) -> None:
        waited_s = self.clock.monotonic_s() - (self.turn_s or 0.0)
        self.rest_s = self.afterwork.rest_s(runner.backend, runner.model, upstream.bounds.prompt, waited_s)
        if upstream.model.loaded:
            self.watchdog.waited_in_vain(runner, live.since_s, streamed=upstream.call.streamed)

    def _leave_unreachable(self, name: str, live: LiveCall) -> None:
        live.waits_for, live.runner = Waiting.STORES, None  # the next turn is waited for, no first byte
        self.sent = Sent.NO
        self.backend = None
        self.backends.mark_unreachable(name)
        self._end_turn()

    def _end_turn(self) -> None:
        if self._turn is not None:
            self.afterwork.later(self.rest_s, partial(self.turns.give_back, self._turn))
            self._turn = None

    def leave(self) -> None:
        """Closes the answer and gives back the turn. Returns at once; may be called at any point."""
        self._end_turn()
        if self._live is not None and self._live.runner is not None and self._live.waits_for is not Waiting.FIRST_BYTE:
            self.watchdog.gave(self._live.runner, self._live.since_s)
        try:
            if self.answer is not None:
                self.answer.close()
        except Exception:  # noqa: BLE001  a bug there must not keep the call from being settled
            _log.exception("answer_not_closed", backend=self.backend)
