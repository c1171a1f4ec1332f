from __future__ import annotations

import inspect
import socket

import aiohttp
import pytest
from aiohttp import client_exceptions

from adapters.ollama.faults import LIBRARY_ERRORS, TABLE, translate
from domain.faults import BackendFailed, BackendTimeout, BackendUnreachable

NEVER_MET = {"InvalidUrlRedirectClientError", "RedirectClientError", "NonHttpUrlRedirectClientError"}
"""Redirects are not followed."""
NOT_OF_REQUESTS = {"WSMessageTypeError"}


def test_every_error_of_the_library_has_a_translation() -> None:
    errors = {
        name: kind
        for name, kind in inspect.getmembers(client_exceptions, inspect.isclass)
        if issubclass(kind, Exception) and kind.__module__ == client_exceptions.__name__
    }
    without = {name for name, kind in errors.items() if not any(issubclass(kind, known) for known, _ in TABLE)}

    assert len(errors) > 20
    assert without <= NEVER_MET | NOT_OF_REQUESTS
    assert all(issubclass(kind, LIBRARY_ERRORS) for name, kind in errors.items() if name not in without)


def test_only_errors_of_connecting_say_that_nothing_was_sent() -> None:
    unreachable = {kind for kind, fault in TABLE if fault is BackendUnreachable}

    assert unreachable == {
        aiohttp.ClientConnectorError,
        aiohttp.ClientConnectorCertificateError,
        aiohttp.ServerFingerprintMismatch,
        aiohttp.ConnectionTimeoutError,
        aiohttp.InvalidURL,
        aiohttp.NonHttpUrlClientError,
    }


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (aiohttp.ConnectionTimeoutError(), BackendUnreachable),
        (aiohttp.ServerFingerprintMismatch(b"a", b"b", "h", 1), BackendUnreachable),
        (aiohttp.SocketTimeoutError(), BackendTimeout),
        (aiohttp.ServerDisconnectedError(), BackendFailed),
        (aiohttp.ClientOSError(104, "reset"), BackendFailed),
        (aiohttp.ClientPayloadError("cut"), BackendFailed),
        (ConnectionResetError(), BackendFailed),
        (socket.gaierror(), BackendFailed),
        (TimeoutError(), BackendTimeout),
    ],
)
def test_the_translations(error: Exception, fault: type[Exception]) -> None:
    assert type(translate(error)[0]) is fault
