"""A running gateway does what its OpenAPI document says, whatever it is sent. Schemathesis makes up the requests."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from entrypoints.http.openapi import document
from entrypoints.http.openapi.requests import request_schemas
from entrypoints.http.routes import TABLE, Inference
from tests.e2e.house import House, Key
from tests.e2e.programs import eventually, program_environment

_SECONDS = 12
"""Of a run, shared by its phases; strangers, of whom nothing is read, are given half."""
_CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,"
    "response_schema_conformance,unsupported_method,allow_header_conformance,ignored_auth"
)
_PHASES = ("--phases", "examples,coverage,fuzzing", "--seed", "1", "--warnings", "off", "--no-color")


@pytest.fixture(scope="module")
def key(house: House) -> Key:
    return house.new_key()


def _with_a_model_that_is_there() -> dict[str, Any]:
    """The document, but every request is for a model of the simulator: others would only meet a 404."""
    found: dict[str, Any] = json.loads(json.dumps(document()))
    for name in request_schemas([route.fields for _, route in TABLE.values() if isinstance(route, Inference)]):
        properties = found["components"]["schemas"][name]["properties"]
        if "model" in properties:
            properties["model"] = {"type": "string", "enum": ["sim-chat", "sim-embed", "sim-think"]}
    for methods in found["paths"].values():
        media = methods.get("post", {}).get("requestBody", {}).get("content", {}).get("application/json")
        if media is not None:
            media["example"]["model"] = "sim-chat"
    return found


def _run(house: House, folder: Path, headers: dict[str, str], seconds: int) -> None:
    (folder / "openapi.json").write_text(json.dumps(_with_a_model_that_is_there()))
    lines = ["[headers]", *(f"{name} = {json.dumps(value)}" for name, value in headers.items())]
    (folder / "schemathesis.toml").write_text("\n".join(lines))  # not in the arguments, where others could read it
    options = ["--url", house.url, "--checks", _CHECKS, "--max-time", str(seconds)]
    done = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", "run", "openapi.json", *options, *_PHASES],
        cwd=folder,
        env=program_environment(),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    tested = re.search(r"Tested: (\d+)", done.stdout)
    assert tested is not None
    assert int(tested[1]) == sum(map(len, document()["paths"].values()))


def test_whatever_a_caller_sends_is_answered_as_documented(house: House, key: Key, tmp_path: Path) -> None:
    _run(house, tmp_path, {"Authorization": f"Bearer {key.text}"}, _SECONDS)


def test_whatever_a_stranger_sends_is_answered_as_documented(house: House, tmp_path: Path) -> None:
    _run(house, tmp_path, {}, _SECONDS // 2)


def test_the_document_is_for_those_who_hold_a_key(house: House, key: Key) -> None:
    with house.client(key) as client:
        served = client.get("/openapi.json")

    assert served.status_code == 200
    assert served.json() == document()
    assert httpx.get(f"{house.url}/openapi.json", timeout=30).headers["x-error-code"] == "missing_api_key"
    query = "select event, code from audit where route = '/openapi.json' and (tenant_id = %s or code = %s)"
    for _ in eventually(10):
        if len(house.rows(query, key.tenant_id, "missing_api_key")) > 1:
            break
    events = {row["event"] for row in house.rows(query, key.tenant_id, "missing_api_key")}
    assert events == {"read", "refused"}
