"""The HTTP library's errors in our words, by one question: can anything have been sent?

Only an error of making the connection says no. A kept connection that the backend closed just then says *perhaps*:
Ollama may have read the request and died, so that counts as failed, and nothing is ever sent twice on a guess.

aiohttp's `ClientResponseError` carries the request's headers, and so the backend's token. It is never chained: its
one-line text is.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import aiohttp

from domain.faults import BackendFailed, BackendFault, BackendTimeout, BackendUnreachable

_BROKE = partial(BackendFailed, lost=True)
LIBRARY_ERRORS: tuple[type[Exception], ...] = (aiohttp.ClientError, aiohttp.EofStream, OSError, TimeoutError)
"""What aiohttp raises for a request. Cancellation is no error and passes."""

TABLE: tuple[tuple[type[Exception], Callable[[], BackendFault]], ...] = (
    # making the connection: nothing was sent
    (aiohttp.ClientConnectorError, BackendUnreachable),
    (aiohttp.ClientConnectorCertificateError, BackendUnreachable),
    (aiohttp.ServerFingerprintMismatch, BackendUnreachable),
    (aiohttp.ConnectionTimeoutError, BackendUnreachable),
    (aiohttp.InvalidURL, BackendUnreachable),
    (aiohttp.NonHttpUrlClientError, BackendUnreachable),
    # after that
    (aiohttp.ServerTimeoutError, BackendTimeout),
    (aiohttp.ClientPayloadError, _BROKE),
    (aiohttp.ClientResponseError, BackendFailed),
    (aiohttp.ClientConnectionError, _BROKE),
    (aiohttp.ClientError, BackendFailed),
    (aiohttp.EofStream, _BROKE),
    (TimeoutError, BackendTimeout),
    (OSError, _BROKE),
)
"""First match decides."""

_MOST_TEXT = 300


class TransportError(Exception):
    """A library error's text, without the request that it was about."""


def translate(error: Exception) -> tuple[BackendFault, Exception]:
    """Our fault for a library error, and what to chain it from."""
    fault = next(fault for kind, fault in TABLE if isinstance(error, kind))
    if isinstance(error, aiohttp.ClientResponseError):
        return fault(), TransportError(f"{type(error).__name__}: {error.status} {error.message}"[:_MOST_TEXT])
    return fault(), TransportError(f"{type(error).__name__}: {error}"[:_MOST_TEXT])
