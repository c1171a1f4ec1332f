"""The OpenAPI document says what is served, and all of it."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from domain.faults import FaultCode
from domain.refusals import Code
from entrypoints.http.openapi import document
from entrypoints.http.problems import FAULTS, REFUSALS
from entrypoints.http.routes import MODEL_METHODS, TABLE, Health, Inference, Look
from tests.entrypoints.http.bodies import ROUTES

Json = Mapping[str, Any]
NEVER_OF_A_CALL = {
    Code.ROUTE_CLOSED,
    Code.UNKNOWN_ROUTE,
    Code.METHOD_NOT_ALLOWED,
    Code.WEBSOCKET_REFUSED,
    FaultCode.CLIENT_HUNG_UP,
}


def operations() -> Iterator[tuple[str, str, Json]]:
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def resolved(value: Json) -> Json:
    found: Any = document() if "$ref" in value else value
    for step in value.get("$ref", "#/").removeprefix("#/").split("/"):
        found = found[step] if step else found
    return dict(found)


def follows(schema: Json, value: Any) -> bool:
    whole = {**schema, "components": document()["components"]}
    return bool(Draft202012Validator(whole).is_valid(value))


EVERY_OPERATION = pytest.mark.parametrize(
    ("path", "method", "operation"), list(operations()), ids=lambda value: value if isinstance(value, str) else ""
)


def test_the_document_is_openapi_3_1() -> None:
    OpenAPIV31SpecValidator(json.loads(json.dumps(document()))).validate()


def test_what_is_served_is_documented_and_nothing_else() -> None:
    served = {(path.decode(), method.lower()) for path, (methods, _) in TABLE.items() for method in methods}
    served |= {(Look.MODEL.value, method.lower()) for method in MODEL_METHODS}

    assert {(path, method) for path, method, _ in operations()} == served


def test_only_health_needs_no_key() -> None:
    health = {route.value for route in Health}

    for path, method, operation in operations():
        assert (operation.get("security") == []) is (path in health), (path, method)
        assert ("401" in operation["responses"]) is (path not in health), (path, method)


@pytest.mark.parametrize("route", ROUTES.values(), ids=lambda route: route.endpoint.value)
def test_every_code_that_a_call_can_meet_is_documented_under_its_status(route: Inference) -> None:
    responses = document()["paths"][route.endpoint.value]["post"]["responses"]
    found: set[tuple[str, str]] = set()
    for status, response in responses.items():
        if status != "200":
            schema = resolved(response)["headers"]["x-error-code"]["schema"]
            found |= {(status, code) for code in schema["enum"]}
    told = {(str(shape.status), code.value) for code, shape in [*REFUSALS.items(), *FAULTS.items()]}

    assert found - told == {("404", "backend_rejected")}
    assert {code for _, code in told - found} == {code.value for code in NEVER_OF_A_CALL}


@pytest.mark.parametrize("route", ROUTES.values(), ids=lambda route: route.endpoint.value)
def test_the_example_of_a_request_is_one(route: Inference) -> None:
    media = document()["paths"][route.endpoint.value]["post"]["requestBody"]["content"]["application/json"]

    assert follows(media["schema"], media["example"])
    assert route.read(media["example"]).model == media["example"]["model"]


@EVERY_OPERATION
def test_the_examples_of_answers_follow_their_schemas(path: str, method: str, operation: Json) -> None:
    for response in map(resolved, operation["responses"].values()):
        for media in response.get("content", {}).values():
            if "example" in media:
                assert follows(media["schema"], media["example"]), (path, method)


@pytest.mark.parametrize("route", ROUTES.values(), ids=lambda route: route.endpoint.value)
def test_a_streamed_answer_has_the_media_type_of_its_dialect(route: Inference) -> None:
    content = document()["paths"][route.endpoint.value]["post"]["responses"]["200"]["content"]
    streamed = {"application/x-ndjson" if route.endpoint.value.startswith("/api/") else "text/event-stream"}

    assert content.keys() - {"application/json"} == (streamed if route.endpoint.generates else set())
