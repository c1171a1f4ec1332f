"""The closed table of what is served. What is not in it is not served; what changes models is refused by name.

The raw bytes of the path are matched, not a decoded path: `/api%2Fpull` and `/api/chat%0a` are nobody's route. Only
to tell an operator's mistake from a typing error is a path brought to its plain form, and only to refuse it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any
from urllib.parse import unquote_to_bytes

import attrs

from domain.calls import Call, Dialect, Endpoint
from domain.refusals import Code, Refusal
from entrypoints.http import anthropic, native, openai, responses
from entrypoints.http.fields import Table

Read = Callable[[Mapping[str, Any]], Call]


@attrs.frozen(kw_only=True)
class Inference:
    """A route that leads to a model."""

    endpoint: Endpoint
    fields: Table
    """What a request may hold."""
    read: Read


class Look(Enum):
    """Routes that are answered from what the gateway knows."""

    TAGS = "/api/tags"
    PS = "/api/ps"
    SHOW = "/api/show"
    VERSION = "/api/version"
    MODELS = "/v1/models"
    MODEL = "/v1/models/{model}"
    OPENAPI = "/openapi.json"


class Health(Enum):
    """Routes that anyone may ask."""

    ROOT = "/"
    LIVE = "/healthz"
    READY = "/readyz"


Route = Inference | Look | Health

_INFERENCE = {
    Endpoint.NATIVE_CHAT: (native.CHAT, native.read_chat),
    Endpoint.NATIVE_GENERATE: (native.GENERATE, native.read_generate),
    Endpoint.NATIVE_EMBED: (native.EMBED, native.read_embed),
    Endpoint.NATIVE_EMBEDDINGS: (native.EMBEDDINGS, native.read_embeddings),
    Endpoint.OPENAI_CHAT: (openai.CHAT, openai.read_chat),
    Endpoint.OPENAI_COMPLETIONS: (openai.COMPLETIONS, openai.read_completions),
    Endpoint.OPENAI_EMBEDDINGS: (openai.EMBEDDINGS, openai.read_embeddings),
    Endpoint.RESPONSES: (responses.RESPONSES, responses.read_responses),
    Endpoint.ANTHROPIC_MESSAGES: (anthropic.MESSAGES, anthropic.read_messages),
}
TABLE: Mapping[bytes, tuple[frozenset[str], Route]] = {
    **{
        endpoint.value.encode(): (frozenset({"POST"}), Inference(endpoint=endpoint, fields=fields, read=read))
        for endpoint, (fields, read) in _INFERENCE.items()
    },
    b"/api/tags": (frozenset({"GET", "HEAD"}), Look.TAGS),
    b"/api/ps": (frozenset({"GET"}), Look.PS),
    b"/api/show": (frozenset({"POST"}), Look.SHOW),
    b"/api/version": (frozenset({"GET", "HEAD"}), Look.VERSION),
    b"/v1/models": (frozenset({"GET"}), Look.MODELS),
    b"/openapi.json": (frozenset({"GET"}), Look.OPENAPI),
    b"/": (frozenset({"GET", "HEAD"}), Health.ROOT),
    b"/healthz": (frozenset({"GET", "HEAD"}), Health.LIVE),
    b"/readyz": (frozenset({"GET", "HEAD"}), Health.READY),
}
MODEL_METHODS = frozenset({"GET"})
_MODEL_PATH = re.compile(rb"/v1/models/[A-Za-z0-9_.:%-]{1,600}")

CLOSED = (
    b"/api/pull",
    b"/api/push",
    b"/api/create",
    b"/api/delete",
    b"/api/copy",
    b"/api/blobs",
    b"/api/me",
    b"/api/signout",
    b"/api/user",
    b"/api/experimental",
    b"/api/status",
)
"""Ollama's routes that change models or use the operator's account: 403 for every method, before the body is read."""


def route_of(method: str, raw_path: bytes) -> tuple[Route, str]:
    """The route and its constant name.

    Raises:
        Refusal: closed, unknown, or known with another method.
    """
    found = TABLE.get(raw_path)
    if found is None and _MODEL_PATH.fullmatch(raw_path):
        found = (MODEL_METHODS, Look.MODEL)
    if found is None:
        raise _not_served(raw_path)
    methods, route = found
    if method not in methods:
        raise MethodNotAllowed(methods)
    return route, _name_of(route)


def _name_of(route: Route) -> str:
    return route.endpoint.value if isinstance(route, Inference) else str(route.value)


class MethodNotAllowed(Refusal):
    """A known path with another method; carries what is allowed (RFC 9110 section 15.5.6)."""

    def __init__(self, allowed: frozenset[str]) -> None:
        self.allowed = ", ".join(sorted(allowed))
        super().__init__(Code.METHOD_NOT_ALLOWED, f"This path takes {self.allowed}.")


def _plain(raw_path: bytes) -> bytes:
    path = unquote_to_bytes(raw_path).lower()
    parts = [part for part in re.split(rb"[/\\]+", path) if part not in (b"", b".")]
    while b".." in parts:
        at = parts.index(b"..")
        del parts[max(0, at - 1) : at + 1]
    return b"/" + b"/".join(part.split(b";")[0].strip(b"\0 \t\r\n") for part in parts)


def _not_served(raw_path: bytes) -> Refusal:
    plain = _plain(raw_path)
    if any(plain == closed or plain.startswith(closed + b"/") for closed in CLOSED):
        return Refusal(
            Code.ROUTE_CLOSED,
            "This route is closed: models and the server's account are managed by the operator, not through the "
            "gateway.",
        )
    return Refusal(
        Code.UNKNOWN_ROUTE, "There is no such route here. With a key, `GET /openapi.json` tells what is served."
    )


def dialect_of(raw_path: bytes) -> Dialect:
    """In which dialect a path's errors are told."""
    if raw_path == b"/v1/messages" or raw_path.startswith(b"/v1/messages/"):
        return Dialect.ANTHROPIC
    if raw_path == b"/v1/responses":
        return Dialect.RESPONSES
    return Dialect.OPENAI if raw_path.startswith(b"/v1") else Dialect.NATIVE
