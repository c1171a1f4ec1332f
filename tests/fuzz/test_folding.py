"""Keys that Go takes for one are one to us, over all of Unicode."""

from __future__ import annotations

import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

_UNASSIGNED = "Cn"


@pytest.fixture
def folds(built: Path | None) -> dict[str, str]:
    if built is None:
        pytest.skip("needs Go")
    lines = subprocess.run([str(built), "folds"], capture_output=True, text=True, check=True, timeout=60).stdout
    return {chr(int(one)): chr(int(least)) for one, least in (line.split() for line in lines.splitlines())}


def test_what_go_folds_we_fold(folds: dict[str, str]) -> None:
    apart = [
        f"U+{ord(one):04X}"
        for one, least in folds.items()
        # This Python may know less of Unicode than that Go; no field of Ollama is spelt with such letters.
        if _UNASSIGNED not in (unicodedata.category(one), unicodedata.category(least))
        and one.casefold() != least.casefold()
    ]

    assert len(folds) > 1_400
    assert apart == []


def test_of_all_characters_three_kinds_fold_to_a_letter_of_a_field(folds: dict[str, str]) -> None:
    for code in range(sys.maxunicode + 1):
        folded = chr(code).casefold()
        if len(folded) == 1 and "a" <= folded <= "z" and chr(code) != folded:
            assert (chr(code).isupper() and chr(code).isascii()) or chr(code) in "\u017f\u212a"
    assert {one for one, least in folds.items() if least.isascii() and not one.isascii()} == {"\u017f", "\u212a"}
