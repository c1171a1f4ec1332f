"""Every proof that is named in the page is there, and every promise has its limit and its proof."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
PROOFS = sorted(set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE)))
PROMISES = re.findall(r"^\*\*.+\*\*$", PAGE, flags=re.MULTILINE)


@pytest.mark.parametrize(("file", "test"), PROOFS)
def test_a_proof_that_is_named_is_there(file: str, test: str) -> None:
    assert not test or f"def {test}(" in (ROOT / file).read_text(encoding="utf-8")


def test_a_promise_is_one_sentence_with_its_limit_and_its_proof() -> None:
    assert len(PROMISES) == PAGE.count("*Limit*: ") == PAGE.count("*Proof*: ")
    assert not [promise for promise in PROMISES if ". " in promise]
