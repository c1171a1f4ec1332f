"""The lines that README.md offers for copying do what it says."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess

import pytest

from tests.docs.made import README
from tests.e2e.house import House
from tests.e2e.programs import cli

FENCED = re.findall(r"```sh\n(.*?)```", README.read_text(), re.DOTALL)
CURLS = [block.strip() for block in FENCED if block.startswith("curl")]
COMMANDS = [line for block in FENCED for line in block.splitlines() if line.startswith("neuronetz-gateway")]


@pytest.mark.parametrize("line", CURLS)
def test_a_curl_line_streams_an_answer(house: House, line: str) -> None:
    if shutil.which("curl") is None and "CI" not in os.environ:
        pytest.skip("there is no curl here")
    key = house.new_key()
    done = subprocess.run(
        ["/bin/sh", "-c", line.replace("http://127.0.0.1:8080", house.url)],
        env={"PATH": "/usr/bin:/bin", "NEURONETZ_KEY": key.text},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )

    assert len(done.stdout.splitlines()) > 5
    assert "error" not in done.stdout


def test_the_operators_tour_runs_as_it_stands(house: House) -> None:
    env_file = house.folder / ".env"
    prefix = ""
    for line in COMMANDS:
        words = shlex.split(line, comments=True)[1:]
        if words[0] in ("serve", "quickstart", "simulate"):
            continue
        words = [prefix if word == "nz_abc12345" else word for word in words]
        words = [str(env_file) if word == ".env" else word for word in words]
        words = [word.replace("http://gpu1:11434", house.simulator.url) for word in words]
        words = ["sim-chat" if word == "llama3.2" else word for word in words]
        done = cli(house.environ, house.folder, *words)

        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        if words[0] == "create-key":
            prefix = done.stdout.strip()[:11]

    assert "gpu1" in env_file.read_text()
