"""No document offers something to copy that nobody has run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.fenced import ROOT, blocks, documents

RUN_BY = {
    "README.md": "tests/e2e/test_readme.py",
    "docs/CONSOLE.md": "tests/adapters/postgres/test_console.py",
    "docs/DEPLOYMENT.md": "tests/e2e/test_deployment.py",
    "docs/guide.md": "tests/e2e/test_guide.py",
}


@pytest.mark.parametrize("document", documents(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_command_of_a_document_is_run_or_says_why_not(document: Path) -> None:
    name = document.relative_to(ROOT).as_posix()
    unmarked = [block.place for block in blocks(document) if block.not_run is None]

    assert unmarked == [] or name in RUN_BY


@pytest.mark.parametrize(("document", "test"), RUN_BY.items())
def test_who_runs_a_document_takes_its_blocks_from_it(document: str, test: str) -> None:
    assert document in (ROOT / test).read_text()
