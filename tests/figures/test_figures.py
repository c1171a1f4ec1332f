"""What is told of a figure is shown, and what is missed is not passed over."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from tests.figures.__main__ import arguments, main
from tests.figures.measurements import MEASUREMENTS, ROOT
from tests.figures.record import FIGURES_FILE, record
from tests.figures.table import Figure
from tests.figures.told import missed, read, show


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "figures.jsonl"
    monkeypatch.setenv(FIGURES_FILE, str(place))
    return place


def test_each_thing_told_is_shown_once_and_what_is_wrong_first(file: Path) -> None:
    for seen, good in (("0", True), ("0", True), ("7", False)):
        record(Figure.OVERSPEND, seen, good=good)
    console = Console(width=200, record=True)

    show(read(file), console)

    (row,) = [line for line in console.export_text().splitlines() if Figure.OVERSPEND.words in line]
    assert "7" in row and "NO" in row


@pytest.mark.parametrize(
    ("good", "wanted", "is_missed"), [(True, True, False), (False, False, True), (True, False, False)]
)
def test_a_figure_that_anybody_saw_outside_of_its_target_is_missed(
    file: Path, *, good: bool, wanted: bool, is_missed: bool
) -> None:
    record(Figure.OVERSPEND, "0", good=True)
    record(Figure.OVERSPEND, "x", good=good)

    assert missed(read(file), [Figure.OVERSPEND] if wanted else []) == ([Figure.OVERSPEND] if is_missed else [])


def test_a_figure_that_was_to_be_measured_and_was_not_is_missed(file: Path) -> None:
    assert missed(read(file), [Figure.GROWTH]) == [Figure.GROWTH]


def test_a_line_that_tells_of_no_figure_is_named(file: Path) -> None:
    record(Figure.OVERSPEND, "0", good=True)
    with file.open("a") as told:
        told.write('{"figure": "NONE_SUCH"}\n')

    with pytest.raises(ValueError, match="line 2, tells of no figure"):
        read(file)


@pytest.mark.parametrize(("good", "status"), [(True, 0), (False, 1)])
def test_the_command_ends_as_the_figures_are(file: Path, *, good: bool, status: int) -> None:
    record(Figure.GROWTH, "1.0", good=good)

    assert main(["--figures-from", str(file)]) == status


def test_an_unknown_measurement_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        arguments(["--only", "wire,nothing"])

    assert "unknown measurements: nothing" in capsys.readouterr().err


@pytest.mark.parametrize("name", MEASUREMENTS)
def test_every_place_that_a_measurement_names_is_there(name: str) -> None:
    words = [*MEASUREMENTS[name].quick, *MEASUREMENTS[name].nightly]

    assert all((ROOT / word).exists() for word in words if word.startswith("tests/"))


def test_no_figure_is_without_a_measurement() -> None:
    measured = {figure for one in MEASUREMENTS.values() for figure in one.figures}

    assert set(Figure) - measured == {Figure.MUTATION_SCORE}
