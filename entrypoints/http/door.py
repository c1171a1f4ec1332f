"""Room 1, the door: the closed table of routes, the bounds on what comes in, and the watch over who leaves.

The request's own coroutine, once the body is in, only waits for the client to go: the call runs in a task of the
application, so that a hang-up is a cut with a reason, streamed or not, and settling never depends on the server's
task being left alive. The server reports the ordinary end of an answer in the same way as a hang-up; the reply knows
which it is.
"""

from __future__ import annotations

import asyncio
from typing import assert_never

import attrs
import msgspec
import structlog
from starlette.types import Receive, Scope, Send

from application.live_calls import SHUT_DOWN, Cut, LiveCall
from application.look_up import LookUp
from application.notes import note_of
from application.pipeline import Pipeline
from application.presented import Presented, PresentedCall
from application.readiness import Readiness
from domain.calls import Call
from domain.faults import Fault, FaultCode, internal_error
from domain.policies import Caller
from domain.ports.call_observer import CallObserver, TurnedAway
from domain.ports.surroundings import Entropy
from domain.ports.usage_journal import UsageJournal
from domain.refusals import Code, Refusal
from domain.settlement import Outcome
from entrypoints.http import looks
from entrypoints.http.body_room import BodyRoom, Place
from entrypoints.http.incoming import (
    ClientGone,
    Intake,
    address_of,
    credential_of,
    read_body,
    require_plain_framing,
)
from entrypoints.http.problems import Headers
from entrypoints.http.reading import call_in
from entrypoints.http.reply import HttpReply
from entrypoints.http.routes import (
    Health,
    Inference,
    Look,
    MethodNotAllowed,
    Route,
    dialect_of,
    route_of,
)

_log = structlog.get_logger("neuronetz")
_NOT_SERVED = 1008
"""Policy violation (RFC 6455 section 7.4.1); before the handshake is accepted, servers send 403 for it."""
_CLOSE = (b"connection", b"close")
_NOT_WATCHED = Cut(Outcome.FAILED, internal_error())
_ALIVE = b'{"status":"ok"}'


@attrs.frozen(kw_only=True)
class Door:
    """The ASGI application behind Starlette's lifespan."""

    pipeline: Pipeline
    look_up: LookUp
    readiness: Readiness
    journal: UsageJournal
    observer: CallObserver
    entropy: Entropy
    intake: Intake
    room: BodyRoom = attrs.field(
        default=attrs.Factory(lambda self: BodyRoom.for_bodies_of(self.intake.max_body_bytes), takes_self=True)
    )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request. A websocket is not served, on any path: its handshake is answered with 403."""
        if scope["type"] != "http":
            await receive()
            await send({"type": "websocket.close", "code": _NOT_SERVED})
            return
        request_id = self.entropy.request_id()
        raw_path: bytes = scope["raw_path"]
        reply = HttpReply(send, dialect_of(raw_path), request_id, is_last=lambda: self.readiness.stopping)
        presented = Presented(request_id=request_id, route="-", address=address_of(scope, self.intake), credential=None)
        try:
            require_plain_framing(scope)
            route, name = route_of(scope["method"], raw_path)
        except Refusal as refusal:
            await self._turn_away(presented, reply, refusal)  # an unknown path is not written down
            return
        presented = attrs.evolve(presented, route=name, credential=credential_of(scope))
        try:
            await self._let_in(route, presented, reply, scope, receive)
        except Exception:  # noqa: BLE001  the last net: a bug is logged and answered, not told to the server
            _log.exception("request_failed", request_id=request_id)
            if not reply.begun:
                await self._turn_away(presented, reply, internal_error())

    async def _let_in(
        self, route: Route, presented: Presented, reply: HttpReply, scope: Scope, receive: Receive
    ) -> None:
        match route:
            case Inference():
                await self._infer(route, presented, reply, scope, receive)
            case Look():
                await self._look(route, presented, reply, scope, receive)
            case Health():
                await self._tell_health(route, reply)
            case _:
                assert_never(route)

    def _place(self, presented: Presented) -> tuple[str, Place]:
        """Where the body of someone who holds a key may lie, and the key's prefix; strangers cost no memory.

        Raises:
            Refusal: no key of ours.
            Fault: the gateway is stopping.
        """
        self._require(not self.readiness.refusing)
        prefix = self.look_up.require_key(presented).prefix
        return prefix, self.room.place_of(prefix)

    async def _body(self, place: Place, scope: Scope, receive: Receive) -> bytes:
        """The whole body. Its place is left again if it does not come.

        Raises:
            Refusal: it is too large or too slow.
            Fault: the gateway is stopping, or has no room.
        """
        try:
            body = await read_body(scope, receive, self.intake, place.take)
            self._require(not self.readiness.over)
        except BaseException:
            place.leave()
            raise
        return body

    def _require(self, still_open: bool) -> None:  # noqa: FBT001  one thing, said at two moments
        if not still_open:
            raise Fault(FaultCode.SHUTTING_DOWN, SHUT_DOWN.fault.sentence, retry_after_s=1)

    async def _infer(
        self, route: Inference, presented: Presented, reply: HttpReply, scope: Scope, receive: Receive
    ) -> None:
        try:
            whose, place = self._place(presented)
            body = [await self._body(place, scope, receive)]
        except (Refusal, Fault) as reason:
            await self._turn_away(presented, reply, reason)
            return
        except ClientGone:
            return

        async def read() -> Call:
            try:
                return await call_in(body.pop(), route, whose)  # read once, and not kept
            finally:
                place.leave()

        live = self.pipeline.start(
            PresentedCall(
                request_id=presented.request_id,
                route=presented.route,
                address=presented.address,
                credential=presented.credential,
                endpoint=route.endpoint,
                read=read,
            ),
            reply,
        )
        live.task.add_done_callback(lambda _: place.leave())  # it may have ended before it was read
        await _watch(live, reply, receive)

    async def _look(self, look: Look, presented: Presented, reply: HttpReply, scope: Scope, receive: Receive) -> None:
        caller: Caller | None = None
        reason: Refusal | Fault | None = None
        try:
            _, place = self._place(presented)
            body = await self._body(place, scope, receive)
            try:
                caller = await self.look_up.enter(presented)
                answer = looks.answer(look, self.look_up, caller, raw_path=scope["raw_path"], body=body)
            finally:
                place.leave()
        except (Refusal, Fault) as met:
            reason = met
            await reply.refuse(met, extra=_extra(met))
            self._count(presented, reply, met)
        except ClientGone:
            return
        else:
            await reply.look(answer)
        self.look_up.note(presented, reply, caller=caller, reason=reason)

    async def _tell_health(self, health: Health, reply: HttpReply) -> None:
        match health:
            case Health.ROOT:
                await reply.look(b'{"service":"neuronetz-gateway"}')
            case Health.LIVE:
                await reply.look(_ALIVE)
            case Health.READY:
                parts = await self.readiness.parts()
                ready = self.readiness.ready(parts)
                body = msgspec.json.encode({"status": "ready" if ready else "not ready", "parts": parts})
                await reply.look(body, status=200 if ready else 503)

    async def _turn_away(
        self, presented: Presented, reply: HttpReply, reason: Refusal | Fault, extra: Headers | None = None
    ) -> None:
        """Refuses before anything of the body is believed."""
        await reply.refuse(reason, extra=extra or _extra(reason))
        self.journal.note(note_of(presented, reply, reason))
        self._count(presented, reply, reason)

    def _count(self, presented: Presented, reply: HttpReply, reason: Refusal | Fault) -> None:
        """What was told a code here is no call, so no record of a call will tell of it."""
        self.observer.turned_away(TurnedAway(route=presented.route, code=reason.code.value, status=reply.status))


def _extra(reason: Refusal | Fault) -> Headers:
    if isinstance(reason, MethodNotAllowed):
        return [(b"allow", reason.allowed.encode())]
    if reason.code in (Code.BODY_TOO_LARGE, Code.BODY_TOO_SLOW, Code.BAD_FRAMING, Code.ROUTE_CLOSED):
        return [_CLOSE]  # what is left of the body is not waited for
    return []


async def _watch(live: LiveCall, reply: HttpReply, receive: Receive) -> None:
    """Waits for the end of the answer or of the client, and cuts the call if the client went first.

    With a client that stays and does not read there is neither: its call is cut, and nobody would tell. Then this is
    cancelled, and the server ends the connection.
    """
    watching = asyncio.current_task()
    stays = True

    def over(_: asyncio.Task[None]) -> None:
        if watching is not None and stays and not reply.ended:
            watching.cancel()

    live.task.add_done_callback(over)
    try:
        while (await receive())["type"] != "http.disconnect":
            pass
        stays = False
        if not reply.ending:
            live.hang_up()
        if not live.drains:
            await asyncio.wait([live.task])
    except asyncio.CancelledError:
        live.end(SHUT_DOWN)
        raise
    except Exception:
        live.end(_NOT_WATCHED)
        await asyncio.wait([live.task])  # which tells the client
        raise
