"""Requests to one backend: aiohttp's connections behind httpx's seam.

httpx's own pool (httpcore 1.0) loses a slot when a request is cancelled at the wrong moment, and every client that
hangs up is a cancelled request. So this is an `httpx.AsyncBaseTransport` over one `aiohttp.ClientSession`: surveys
use it through an ordinary `httpx.AsyncClient`; calls use `post`, which skips httpx's request and response values and
their 180 us.

Nothing ambient takes part: no proxy variables, no `.netrc`, no cookies, no redirects, no decompression. No read is
timed here: the caller's watchdog cancels. Connections are kept for reuse, but a request is never sent twice.
"""

from __future__ import annotations

import io
import socket
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
import httpx
from aiohttp import abc
from multidict import CIMultiDict
from yarl import URL

from adapters.ollama import faults
from adapters.ollama.address import USER_AGENT, forbidden
from adapters.ollama.half_close import HalfClosing, HalfClosingConnector

CONNECT_TIMEOUT_S = 5.0
BUFFER_BYTES = 512 * 1024
"""Where a reader that does not read stops the backend."""
READ_BYTES = 64 * 1024
_BYTES_OF_ONE_WRITE = 1024 * 1024


class ForbiddenAddressError(OSError):
    """A backend's name resolved to an address that no backend may have."""


class GuardedResolver(abc.AbstractResolver):
    """The system's resolver, in a thread, refusing link-local and metadata addresses each time anew."""

    def __init__(self) -> None:
        self._inner = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[abc.ResolveResult]:
        """All addresses of a name."""
        found = await self._inner.resolve(host, port, family)
        if any(forbidden(one["host"]) for one in found):
            raise ForbiddenAddressError("the backend's name resolves to a link-local or metadata address")
        return found

    async def close(self) -> None:
        """Nothing is held."""


class UpstreamResponse:
    """An answer whose head has come."""

    __slots__ = ("_response", "content_type", "status")

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.content_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    @property
    def headers(self) -> Mapping[str, str]:
        """As they came."""
        return self._response.headers

    @property
    def encoding(self) -> str:
        """The content coding; `identity` is the only one that was asked for."""
        return self._response.headers.get("Content-Encoding", "identity").strip().lower()

    @property
    def is_full(self) -> bool:
        """Whether the buffer is full because nobody reads."""
        connection = self._response.connection
        protocol = None if connection is None else connection.protocol
        return isinstance(protocol, HalfClosing) and protocol.is_full

    async def read(self) -> bytes:
        """What has come, at most 64 KiB; empty at the end of HTTP.

        Raises:
            BackendFailed: the connection broke.
        """
        try:
            return await self._response.content.read(READ_BYTES)
        except faults.LIBRARY_ERRORS as error:
            self._response.close()
            fault, cause = faults.translate(error)
        raise fault from cause

    async def read_whole(self, most_bytes: int) -> bytes | None:
        """All of the body; None when it is longer than that."""
        parts = bytearray()
        while part := await self.read():
            parts += part
            if len(parts) > most_bytes:
                return None
        return bytes(parts)

    def close(self) -> None:
        """Gives the connection back, or half-closes it if the answer is unfinished."""
        self._response.close()


class OllamaTransport(httpx.AsyncBaseTransport):
    """One backend's connections."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._connector: HalfClosingConnector | None = None
        self._closed = False

    def _opened(self) -> aiohttp.ClientSession:
        if self._closed:
            raise RuntimeError("the transport is closed")
        if self._session is None:
            self._connector = HalfClosingConnector(resolver=GuardedResolver())
            self._session = aiohttp.ClientSession(
                connector=self._connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
                headers={"User-Agent": USER_AGENT},
                trust_env=False,
                auto_decompress=False,
                read_bufsize=BUFFER_BYTES // 2,  # aiohttp pauses at twice this
                requote_redirect_url=False,
            )
        return self._session

    async def post(self, target: URL, headers: CIMultiDict[str], body: bytes) -> UpstreamResponse:
        """Sends a request and waits for the answer's head. May be cancelled at any time.

        Raises:
            BackendUnreachable: no connection came about: nothing was sent.
            BackendFailed: it was, or may have been, sent.
        """
        # aiohttp warns of whole bodies over 1 MiB and slices those that look like a file
        payload: Any = body if len(body) <= _BYTES_OF_ONE_WRITE else io.BytesIO(body)
        session = self._opened()
        try:
            response = await session.request("POST", target, headers=headers, data=payload, allow_redirects=False)
        except faults.LIBRARY_ERRORS as error:
            fault, cause = faults.translate(error)
        else:
            return UpstreamResponse(response)
        raise fault from cause

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Httpx's seam."""
        session = self._opened()
        sent = [(name, value) for name, value in request.headers.items() if name not in ("host", "connection")]
        body = await request.aread()
        try:
            response = await session.request(
                request.method,
                URL(str(request.url), encoded=True),
                headers=CIMultiDict(sent),
                data=body or None,
                allow_redirects=False,
            )
        except faults.LIBRARY_ERRORS as error:
            fault, cause = faults.translate(error)
        else:
            upstream = UpstreamResponse(response)
            return httpx.Response(upstream.status, headers=list(upstream.headers.items()), stream=_Body(upstream))
        raise fault from cause

    async def aclose(self) -> None:
        """Ends all connections and waits, bounded, until the half-closed ones are gone."""
        self._closed = True
        session, self._session = self._session, None
        if session is not None and self._connector is not None:
            await session.close()
            await self._connector.until_parted()

    @property
    def parting(self) -> int:
        """Connections that are half-closed and not yet gone."""
        return 0 if self._connector is None else len(self._connector.lingering)


class _Body(httpx.AsyncByteStream):
    def __init__(self, upstream: UpstreamResponse) -> None:
        self._upstream = upstream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while part := await self._upstream.read():
            yield part

    async def aclose(self) -> None:
        self._upstream.close()
