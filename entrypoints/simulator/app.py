"""One door for every path: note the request, look up what is scripted, dispatch, and log how it ended.

Routing follows what a gateway must know of Ollama's (Go's mux, then gin): it is done on the decoded path, so
`/api%2Fpull` is `/api/pull`; unclean paths are redirected with 307; unknown ones are 404 and wrong methods 405 with
`Allow`, both in plain text; HEAD exists only where listed.
"""

import asyncio
import posixpath
from collections.abc import Awaitable, Callable, Mapping
from types import ModuleType
from typing import Any

import attrs
from aiohttp import web

from entrypoints.simulator import anthropic, control, listings, native, openai, replay, responses
from entrypoints.simulator.behaviours import HEALTHY
from entrypoints.simulator.doorstep import host_is_ours, origin_is_ours
from entrypoints.simulator.exchange import Exchange, left_by_reset
from entrypoints.simulator.log import Ended, Entry
from entrypoints.simulator.pipe import Pipe
from entrypoints.simulator.refusal import Refused
from entrypoints.simulator.world import World

Answer = Callable[[Exchange], Awaitable[web.StreamResponse]]

_PLAIN_TEXT = "text/plain"
_NO_LIMIT_BYTES = 1 << 40  # Ollama bounds no body
_CLIENT_GONE_WAIT_S = 1.0


@attrs.frozen
class Route:
    """What a path is, and who answers it by method."""

    kind: str
    answers: Mapping[str, Answer]


def _inference(answer: Answer) -> Route:
    return Route("inference", {"POST": answer})


def _mutation(*methods: str) -> Route:
    return Route("mutation", dict.fromkeys(methods, listings.mutation))


async def _not_simulated(exchange: Exchange) -> web.StreamResponse:
    raise Refused(501, f"{exchange.path} is not simulated, except by replay")


_ROUTES: Mapping[str, Route] = {
    "/": Route("health", {"GET": listings.root, "HEAD": listings.root}),
    "/api/version": Route("health", {"GET": listings.version, "HEAD": listings.version}),
    "/api/tags": Route("read", {"GET": listings.tags, "HEAD": listings.tags}),
    "/api/ps": Route("read", {"GET": listings.loaded}),
    "/api/show": Route("read", {"POST": listings.show}),
    "/v1/models": Route("read", {"GET": listings.openai_models}),
    "/api/generate": _inference(native.generate_text),
    "/api/chat": _inference(native.chat),
    "/api/embed": _inference(native.embed),
    "/api/embeddings": _inference(native.embeddings),
    "/v1/chat/completions": _inference(openai.chat_completions),
    "/v1/completions": _inference(openai.completions),
    "/v1/embeddings": _inference(openai.embeddings),
    "/v1/responses": _inference(responses.responses),
    "/v1/messages": _inference(anthropic.messages),
    "/v1/audio/transcriptions": _inference(_not_simulated),
    "/api/pull": _mutation("POST"),
    "/api/push": _mutation("POST"),
    "/api/create": _mutation("POST"),
    "/api/copy": _mutation("POST"),
    "/api/delete": _mutation("DELETE"),
    "/api/me": _mutation("POST"),
    "/api/signout": _mutation("POST"),
    "/api/experimental/web_search": _mutation("POST"),
    "/api/experimental/web_fetch": _mutation("POST"),
    "/api/experimental/model-recommendations": _mutation("GET"),
    "/api/status": _mutation("GET"),
}
_BY_PREFIX = (
    ("/v1/models/", Route("read", {"GET": listings.openai_model})),
    ("/api/blobs/", _mutation("POST", "HEAD")),
    ("/api/user/keys/", _mutation("DELETE")),
)
_UNKNOWN = Route("unknown", {})


def make_app(world: World) -> web.Application:
    """Return the simulated server as an aiohttp application; its server must cancel handlers on disconnect."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path.startswith(control.PREFIX):
            return await control.control(world, request)
        return await _Visit(world, request).answer()

    app = web.Application(client_max_size=_NO_LIMIT_BYTES)
    app.router.add_route("*", "/{tail:.*}", answer)
    app.on_response_prepare.append(_without_server_header)
    return app


async def _without_server_header(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.popall("Server", None)


def _route(path: str) -> Route:
    if route := _ROUTES.get(path):
        return route
    for prefix, route in _BY_PREFIX:
        if path.startswith(prefix) and "/" not in path[len(prefix) :] and path != prefix:
            return route
    return _UNKNOWN


def _dialect_of(path: str) -> ModuleType:
    if path == "/v1/messages":
        return anthropic
    return openai if path.startswith("/v1/") else native


class _Visit:
    """One request from its arrival to its end in the log."""

    def __init__(self, world: World, request: web.Request) -> None:
        self._world = world
        self._request = request
        self._path = request.path
        self._is_counted = False
        self._route = _route(self._path)
        self._reads_a_body = self._route.kind in {"inference", "read"} and request.method == "POST"
        self._entry: Entry = world.log.start(
            method=request.method,
            path=request.raw_path,
            kind=self._route.kind,
            headers=[(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.raw_headers],
            request_id=request.headers.get("x-request-id"),
        )

    async def answer(self) -> web.StreamResponse:
        """Answer; whatever happens, the log has an end."""
        try:
            return await self._answer_until_gone()
        except (asyncio.CancelledError, ConnectionError):
            self._end_lost()
            raise
        finally:
            self._world.log.end(self._entry, Ended.CRASHED)
            if self._is_counted:
                self._world.finished(self._entry.model)

    async def _answer_until_gone(self) -> web.StreamResponse:
        try:
            return await self._answer_or_refuse()
        except ConnectionError:
            await asyncio.sleep(_CLIENT_GONE_WAIT_S)  # the loop is about to cancel us, and knows why
            raise

    def _end_lost(self) -> None:
        if self._world.stopping:
            self._world.log.end(self._entry, Ended.STOPPED)
            return
        hang_up_by = "rst" if left_by_reset(self._request) else "fin"
        self._world.log.end(self._entry, Ended.HANG_UP, hang_up_by=hang_up_by)

    async def _answer_or_refuse(self) -> web.StreamResponse:
        raw = await self._request.read() if self._request.can_read_body else b""
        dialect = _dialect_of(self._path)
        refusal: Refused | None = None
        body: dict[str, Any] = {}
        if self._reads_a_body or raw:
            try:
                body = dialect.decode_body(raw)
            except Refused as refused:
                refusal = refused
        exchange = self._exchange(raw, body, is_readable=refusal is None)
        self._world.began(exchange.entry.model)
        self._is_counted = True
        try:
            if refusal is not None and self._reads_a_body and not exchange.behaviour.replaces_the_answer:
                raise refusal
            return await self._dispatch(exchange)
        except Refused as refused:
            content_type, octets = dialect.refuse(refused)
            return await exchange.reply(refused.status, content_type, octets, ended=Ended.REFUSED)

    def _exchange(self, raw: bytes, body: dict[str, Any], *, is_readable: bool) -> Exchange:
        model = body.get("model", "")
        self._entry.model = model if isinstance(model, str) else ""
        behaviour = self._world.behaviour_for(
            path=self._path, model=self._entry.model, is_inference=self._route.kind == "inference"
        )
        if behaviour is not HEALTHY:
            self._entry.behaviour = behaviour.oddities()
        seen = (body if is_readable else raw.decode("utf-8", "replace")) if raw else None
        self._world.log.received(self._entry, seen)
        return Exchange(
            world=self._world,
            request=self._request,
            path=self._path,
            entry=self._entry,
            behaviour=behaviour,
            raw=raw,
            body=body,
        )

    async def _dispatch(self, exchange: Exchange) -> web.StreamResponse:
        if exchange.behaviour.replaces_the_answer:
            return await _replace(exchange)
        if self._world.settings.check_host and not self._is_local():
            return await exchange.reply(403, _PLAIN_TEXT, b"", ended=Ended.REFUSED)
        if answer := self._route.answers.get(self._request.method):
            return await answer(exchange)
        return await self._no_answer(exchange)

    def _is_local(self) -> bool:
        headers = self._request.headers
        host = headers.get("Host", "")
        return host_is_ours(host) and origin_is_ours(headers.get("Origin", ""), host)

    async def _no_answer(self, exchange: Exchange) -> web.StreamResponse:
        if self._route.answers:
            pipe = Pipe(self._request, exchange.behaviour)
            octets = b"405 method not allowed"
            allow = ", ".join(self._route.answers)
            await pipe.open(405, _PLAIN_TEXT, length=len(octets), headers=[("Allow", allow)])
            await pipe.write(octets)
            await pipe.finish()
            exchange.entry.status = 405
            exchange.end(Ended.REFUSED)
            return pipe.response
        clean = posixpath.normpath(self._path).replace("//", "/")
        if clean != self._path and _route(clean) is not _UNKNOWN:
            return await _redirect(exchange, clean)
        return await exchange.reply(404, _PLAIN_TEXT, b"404 page not found", ended=Ended.REFUSED)


async def _replace(exchange: Exchange) -> web.StreamResponse:
    """Answer with what the behaviour has instead of an answer."""
    behaviour, entry = exchange.behaviour, exchange.entry
    entry.phase = "sending"
    if behaviour.redirect_to is not None:
        return await _redirect(exchange, behaviour.redirect_to)
    if behaviour.replay is not None:
        pipe = Pipe(exchange.request, behaviour)
        recording = exchange.world.recording(behaviour.replay)
        entry.status = recording.status
        await replay.play(recording, pipe, timed=behaviour.replay_timed)
        exchange.end(Ended.SCRIPTED)
        return pipe.response
    dialect = _dialect_of(exchange.path)
    text = exchange.request.headers.get(behaviour.echo_header or "", "") or "simulated failure"
    content_type, octets = dialect.refuse(Refused(behaviour.status, text))
    if behaviour.body is not None:
        octets = behaviour.body.encode()
    return await exchange.reply(behaviour.status, content_type, octets, ended=Ended.SCRIPTED)


async def _redirect(exchange: Exchange, location: str) -> web.StreamResponse:
    pipe = Pipe(exchange.request, exchange.behaviour)
    exchange.entry.status = 307
    await pipe.open(307, _PLAIN_TEXT, length=0, headers=[("Location", location)])
    await pipe.finish()
    exchange.end(Ended.SCRIPTED if exchange.behaviour is not HEALTHY else Ended.REFUSED)
    return pipe.response
