"""Every program in docs/guide.md runs as it stands, against a real gateway; address and models are replaced."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.docs.fenced import Block, to_run
from tests.e2e.house import House
from tests.e2e.programs import program_environment

BLOCKS = to_run("docs/guide.md")
REPLACED = {"llama3.2": "sim-chat", "nomic-embed-text": "sim-embed"}


def program_of(block: Block, text: str, folder: Path) -> Sequence[str]:
    match block.language:
        case "sh":
            return ["sh", "-eu", "-c", text]
        case "python":
            return [sys.executable, "-c", text]
        case "javascript":
            file = folder / f"line-{block.line}.js"
            file.write_text(text)
            return ["node", str(file)]
        case other:
            raise AssertionError(f"{block.place}: nobody runs {other}")


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: f"{block.language}-{block.line}")
def test_a_program_of_the_guide_runs(
    house: House, block: Block, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    folder = request.getfixturevalue("javascript") if block.language == "javascript" else tmp_path
    text = block.text.replace("https://llm.example.com", house.url)
    for shown, simulated in REPLACED.items():
        text = text.replace(shown, simulated)
    done = subprocess.run(
        program_of(block, text, folder),
        env=program_environment() | {"NEURONETZ_KEY": house.new_key().text},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "export" in text or done.stdout.strip()


def test_the_guide_has_programs_in_every_language_it_speaks_of() -> None:
    assert {block.language for block in BLOCKS} == {"sh", "python", "javascript"}
