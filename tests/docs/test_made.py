from __future__ import annotations

import re

from tests.docs.commands import COMMANDS, commands
from tests.docs.made import ERRORS, README, ROOT, errors, readme
from tests.docs.metrics import METRICS, metrics


def test_the_settings_in_the_readme_are_those_of_the_code() -> None:
    assert README.read_text() == readme(), "run `python -m tests.docs`"


def test_the_table_of_errors_is_that_of_the_code() -> None:
    assert ERRORS.read_text() == errors(), "run `python -m tests.docs`"


def test_the_table_of_metrics_is_that_of_the_code() -> None:
    assert METRICS.read_text() == metrics(), "run `python -m tests.docs`"


def test_the_list_of_commands_is_that_of_the_code() -> None:
    assert COMMANDS.read_text() == commands(), "run `python -m tests.docs`"


def test_every_link_of_the_documents_leads_somewhere() -> None:
    for document in [README, *sorted((ROOT / "docs").glob("*.md"))]:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_quickstart_and_tests_start_with_one_fenced_line() -> None:
    text = README.read_text()
    for heading in ("## Quickstart", "## Tests"):
        section = text.split(heading + "\n")[1]
        fenced = section.split("```")[1].splitlines()[1:]
        assert section.startswith("```sh\n")
        assert len(fenced) == 1, heading
