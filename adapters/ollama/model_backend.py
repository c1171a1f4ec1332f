"""One Ollama server behind the port `ModelBackend`.

`open` sends the prepared request and judges the answer's head; from then on the `Answer` owns the connection.
Whatever ends it early (a refusal to look at, a cancelled caller) closes it, which half-closes it (`half_close`).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final

import httpx
import msgspec
import structlog
from multidict import CIMultiDict
from yarl import URL

from adapters.ollama import listings, sizes
from adapters.ollama.address import BackendAddress
from adapters.ollama.answer import PlainAnswer, StreamedAnswer
from adapters.ollama.body import body_of, is_long
from adapters.ollama.lines import LineDecoder
from adapters.ollama.loggable import loggable, loggable_type
from adapters.ollama.ndjson import NativeStream
from adapters.ollama.rejections import MOST_ERROR_BYTES, rejection_of, text_of
from adapters.ollama.sse import OpenAIStream
from adapters.ollama.sse_anthropic import AnthropicStream
from adapters.ollama.sse_responses import ResponsesStream
from adapters.ollama.transport import OllamaTransport, UpstreamResponse
from domain.calls import Call, Dialect, Endpoint
from domain.faults import BackendFailed, BackendFault
from domain.models import Model
from domain.ports.model_backend import Answer, ModelBackend, Survey, UpstreamCall
from domain.refusals import BackendRejected

MOST_SURVEY_BYTES: Final = 4 * 1024 * 1024
_SHOWN_AT_ONCE: Final = 4
_OK: Final = 200
_NDJSON: Final = "application/x-ndjson"
_SSE: Final = "text/event-stream"
_PLAIN_TYPE: Final = "application/json"
_BESIDE_THE_LOOP: Final = ThreadPoolExecutor(1, thread_name_prefix="long-requests")
"""Builds what is long. One thread: each would compete with the loop for Python's lock."""
_log = structlog.get_logger("neuronetz")


class OllamaBackend(ModelBackend):
    """One Ollama server."""

    def __init__(self, address: BackendAddress, *, keep_alive: str | int | None = None) -> None:
        """Opens nothing.

        Args:
            address: where it is.
            keep_alive: how long models stay loaded, as Ollama spells it; sent on native calls. None leaves it alone.
        """
        self.name = address.name
        self.most_in_flight = address.most_in_flight
        self._address = address
        self._keep_alive = keep_alive
        self._transport = OllamaTransport()
        self._targets: dict[Endpoint, URL] = {endpoint: address.target(endpoint.upstream) for endpoint in Endpoint}
        sent = CIMultiDict(address.headers())
        sent["Content-Type"] = _PLAIN_TYPE
        sent["Accept"] = _PLAIN_TYPE
        self._headers = {False: sent, True: sent.copy()}
        self._headers[True]["Accept"] = "application/x-ndjson, text/event-stream, application/json"
        self._described: dict[tuple[str, str], listings.Description | None] = {}

    async def open(self, upstream: UpstreamCall) -> Answer:
        """Sends the call and waits for the answer's head."""
        call = upstream.call
        headers = self._headers[call.streamed].copy()
        headers["X-Request-Id"] = upstream.request_id
        body = await self._body(upstream)
        response = await self._transport.post(self._targets[call.endpoint], headers, body)
        try:
            await self._judge(response, call)
        except BaseException:
            response.close()
            raise
        if not call.streamed:
            return PlainAnswer(
                response, call, upstream.request_id, self._address, most_bytes=sizes.most_bytes(upstream)
            )
        return StreamedAnswer(response, decoder_of(upstream), self._address, most_bytes=sizes.most_bytes(upstream))

    async def _body(self, upstream: UpstreamCall) -> bytes:
        build = partial(body_of, upstream, keep_alive=self._keep_alive)
        if not is_long(upstream.call):
            return build()
        return await asyncio.get_running_loop().run_in_executor(_BESIDE_THE_LOOP, build)

    async def _refused(self, response: UpstreamResponse) -> BackendRejected | BackendFailed:
        octets = b""
        if response.encoding == "identity":
            with contextlib.suppress(BackendFault):  # the status tells; what comes after it may break off
                octets = await response.read_whole(MOST_ERROR_BYTES) or b""
        text = text_of(octets)
        said = octets.decode("utf-8", "replace") if text is None else text
        _log.warning(
            "backend_refused",
            backend=self.name,
            status=response.status,
            backend_said=loggable(said),
            said_characters=len(said),
        )
        return rejection_of(response.status, None if text is None else self._address.redact(text))

    async def _judge(self, response: UpstreamResponse, call: Call) -> None:
        if response.status != _OK:
            raise await self._refused(response)
        if response.encoding != "identity":
            raise BackendFailed("The model backend answered in an encoding that was not asked for.")
        streamed_type = _NDJSON if call.endpoint.dialect is Dialect.NATIVE else _SSE
        expected = streamed_type if call.streamed else _PLAIN_TYPE
        if response.content_type != expected:
            _log.warning("backend_wrong_type", backend=self.name, content_type=loggable_type(response.content_type))
            raise BackendFailed("The model backend answered with something that is not its protocol.")

    async def survey(self) -> Survey:
        """Its version and models."""
        version, tags, loaded = await _together(self._get("/api/version"), self._get("/api/tags"), self._get("/api/ps"))
        listed = listings.served(listings.entries_of(tags))
        by_name = listings.loaded_by_name(listings.entries_of(loaded))
        await self._describe(listed)
        models: list[Model] = []
        for one in listed:
            description = self._described.get(one.key)
            if description is not None:
                models.append(listings.model_of(one, description, by_name.get(one.canonical)))
        return Survey(version=listings.version_of(version), models=tuple(models))

    async def _describe(self, listed: list[listings.Listed]) -> None:
        """Asks once for what is not known yet, and forgets what is gone."""
        keys = {one.key for one in listed}
        self._described = {key: known for key, known in self._described.items() if key in keys}
        turns = asyncio.Semaphore(_SHOWN_AT_ONCE)
        await _together(*(self._show(one, turns) for one in listed if one.key not in self._described))

    async def _show(self, one: listings.Listed, turns: asyncio.Semaphore) -> None:
        """Asks for one model. A model that cannot be described is left out and asked for again next time: one
        broken manifest must not take the whole backend away.
        """
        try:
            async with turns:
                self._described[one.key] = listings.describe(await self._get("/api/show", {"model": one.name}))
        except BackendFailed as fault:
            _log.warning("backend_model_not_described", backend=self.name, model=one.name, reason=fault.sentence)

    async def _get(self, path: str, question: dict[str, Any] | None = None) -> Any:
        # The transport alone: a client would keep the backend's cookies for it, and look where its redirects lead.
        request = httpx.Request(
            "GET" if question is None else "POST",
            str(self._address.target(path)),
            headers=self._address.headers(),
            json=question,
        )
        response = await self._transport.handle_async_request(request)
        octets = bytearray()
        try:
            async for part in response.aiter_raw():
                octets += part
                if len(octets) > MOST_SURVEY_BYTES:
                    raise BackendFailed("The backend's listing is too long.")
        finally:
            await response.aclose()
        if self._address.betrayed_by(bytes(octets)):
            raise BackendFailed(f"The backend's answer to {path} holds the token that it is sent.")
        if response.status_code != _OK:
            raise BackendFailed(f"The backend answers {path} with the status {response.status_code}.")
        try:
            return msgspec.json.decode(octets)
        except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
            raise BackendFailed(f"The backend's answer to {path} is not JSON.") from error

    @property
    def parting(self) -> int:
        """Connections that were half-closed and are read to their end; for metrics."""
        return self._transport.parting

    async def aclose(self) -> None:
        """Gives up its connections, politely and bounded."""
        await self._transport.aclose()


async def probe(address: BackendAddress) -> Survey:
    """Asks a backend once, with the very headers that calls will carry.

    Raises:
        BackendFault: it does not answer properly.
    """
    backend = OllamaBackend(address)
    try:
        return await backend.survey()
    finally:
        await backend.aclose()


async def _together(*questions: Coroutine[Any, Any, Any]) -> list[Any]:
    """All answers; the first fault cancels the rest and is raised by itself, not in a group."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(question) for question in questions]
    except BaseExceptionGroup as several:
        first = several.exceptions[0]
    else:
        return [task.result() for task in tasks]
    raise first


def decoder_of(upstream: UpstreamCall) -> LineDecoder:
    """The decoder for a streamed call's answer."""
    call = upstream.call
    if call.endpoint.dialect is Dialect.NATIVE:
        return NativeStream(call.endpoint, ours=upstream.model.name, theirs=call.model)
    if call.endpoint.dialect is Dialect.ANTHROPIC:
        return AnthropicStream(theirs=call.model, request_id=upstream.request_id)
    if call.endpoint.dialect is Dialect.RESPONSES:
        return ResponsesStream(theirs=call.model, request_id=upstream.request_id)
    return OpenAIStream(
        call.endpoint,
        ours=upstream.model.name,
        theirs=call.model,
        request_id=upstream.request_id,
        wants_usage=call.wants_usage,
    )
