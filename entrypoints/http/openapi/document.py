"""The whole document, OpenAPI 3.1."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

import attrs

from domain.calls import Dialect
from entrypoints.http import native
from entrypoints.http.fields import Table
from entrypoints.http.openapi.answers import CALLS, HEALTH, LOOKS, Told
from entrypoints.http.openapi.errors import error_responses, error_schemas
from entrypoints.http.openapi.headers import header_components, of_ids, of_rates
from entrypoints.http.openapi.requests import request_schemas
from entrypoints.http.routes import MODEL_METHODS, TABLE, Health, Inference, Look, Route, dialect_of

Json = dict[str, Any]
EDITION: Final = "1.0"
"""Of the document and what it promises, not of the program (OpenAPI 3.1 section 4.8.2)."""
_ABOUT: Final = (
    "A gateway for many tenants in front of Ollama, in the dialects of Ollama, OpenAI and Anthropic. A field that is "
    "not listed here is dropped, one of the wrong type is refused by its path, and `null` is the same as absent. What "
    "changes models (`/api/pull`, `/api/delete`, ...) is closed to everyone."
)


@cache
def document() -> Mapping[str, Any]:
    """The document. It is the same for all callers and as long as the process lives."""
    tables = [route.fields for _, route in TABLE.values() if isinstance(route, Inference)]
    shared = _Shared()
    paths: dict[str, Json] = {}
    for path, methods, route in _served():
        for method in sorted(methods):
            paths.setdefault(path, {})[method.lower()] = _operation(path, method, route, shared)
    return {
        "openapi": "3.1.0",
        "info": {"title": "neuronetz-gateway", "version": EDITION, "description": _ABOUT},
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}, {"xApiKey": []}],
        "tags": [{"name": name} for name in ("Ollama", "OpenAI", "Anthropic", "Health")],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": {**request_schemas([*tables, native.SHOW]), **error_schemas()},
            "responses": shared.responses,
            "headers": header_components(),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "`Authorization: Bearer nz_...`"},
                "xApiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
    }


@attrs.define
class _Shared:
    """Responses that several operations have: each stands in the document once."""

    responses: dict[str, Json] = attrs.field(factory=dict)

    def refs(self, responses: Mapping[str, Json], name: str) -> dict[str, Json]:
        """Of each status a reference, under a name that says whose they are.

        Raises:
            ValueError: the name is another response's already.
        """
        made = {}
        for status, response in responses.items():
            named = next((known for known, same in self.responses.items() if same == response), f"{name}{status}")
            if self.responses.setdefault(named, response) != response:
                raise ValueError(f"two responses are named {named}")
            made[status] = {"$ref": f"#/components/responses/{named}"}
        return made


def _served() -> Iterator[tuple[str, frozenset[str], Route]]:
    for raw_path, (methods, route) in TABLE.items():
        yield raw_path.decode(), methods, route
    yield Look.MODEL.value, MODEL_METHODS, Look.MODEL


def _told(route: Route) -> Told:
    match route:
        case Inference():
            return CALLS[route.endpoint]
        case Look():
            return LOOKS[route]
        case Health():
            return HEALTH[route]


def _tag(route: Route, dialect: Dialect) -> str:
    if isinstance(route, Health):
        return "Health"
    return {Dialect.NATIVE: "Ollama", Dialect.ANTHROPIC: "Anthropic"}.get(dialect, "OpenAI")


def _operation(path: str, method: str, route: Route, shared: _Shared) -> Json:
    told = _told(route)
    dialect = dialect_of(path.encode())
    made: Json = {
        "operationId": f"{method.lower()} {path}",
        "tags": [_tag(route, dialect)],
        "summary": told.summary,
        **({"description": told.says} if told.says else {}),
        **({"security": []} if isinstance(route, Health) else {}),
        **({"parameters": [_NAME_IN_PATH]} if route is Look.MODEL else {}),
    }
    table = _table_of(route)
    if table is not None:
        content = {"schema": {"$ref": f"#/components/schemas/{table.name}"}, "example": told.example}
        made["requestBody"] = {"required": True, "content": {"application/json": content}}
    responses = {"200": _success(told, route, dialect)}
    refusals = error_responses(route, dialect)
    if route is Health.READY:
        responses["503"] = _success(told, route, dialect) | {"description": "Calls are not served now."}
    if method == "HEAD":
        responses = {status: _without_body(response) for status, response in responses.items()}
        refusals = {status: _without_body(response) for status, response in refusals.items()}
    return made | {"responses": responses | shared.refs(refusals, _whose(route, dialect, method))}


def _whose(route: Route, dialect: Dialect, method: str) -> str:
    kind = route.name if route in (Look.SHOW, Look.MODEL) else type(route).__name__
    return f"{'Head' if method == 'HEAD' else ''}{dialect.capitalize()}{kind.capitalize()}"


def _table_of(route: Route) -> Table | None:
    if isinstance(route, Inference):
        return route.fields
    return native.SHOW if route is Look.SHOW else None


def _success(told: Told, route: Route, dialect: Dialect) -> Json:
    content: Json = {"application/json": {"schema": told.answer}}
    if told.answered is not None:
        content["application/json"]["example"] = told.answered
    headers = of_ids(dialect)
    if isinstance(route, Inference):
        headers |= of_rates(dialect)
        if route.endpoint.generates:
            content |= _streamed(dialect)
    return {"description": "As asked.", "headers": headers, "content": content}


def _streamed(dialect: Dialect) -> Json:
    native = dialect is Dialect.NATIVE
    told = "One JSON object a line; the last has `done: true`." if native else "Server-sent events, as in the dialect."
    failed = " An answer that fails on its way ends with the dialect's error instead."
    schema = {"description": told + failed}  # of no type: tools do not agree what the value of a stream is
    return {"application/x-ndjson" if native else "text/event-stream": {"schema": schema}}


def _without_body(response: Json) -> Json:
    return {name: part for name, part in response.items() if name != "content"}


_NAME_IN_PATH: Final[Json] = {
    "name": "model",
    "in": "path",
    "required": True,
    "description": "The model's name; a slash in it as `%2F`.",
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9_.:/-]{1,190}$"},
    "example": "llama3.2:3b",
}
