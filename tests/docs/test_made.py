from __future__ import annotations

import re

from tests.docs.commands import COMMANDS, commands
from tests.docs.errors import ERRORS, errors
from tests.docs.fields import FIELDS, fields
from tests.docs.made import README, ROOT, readme
from tests.docs.metrics import METRICS, metrics
from tests.docs.openapi import API_PAGE, OPENAPI, api_page, openapi


def test_the_settings_in_the_readme_are_those_of_the_code() -> None:
    assert README.read_text() == readme(), "run `python -m tests.docs`"


def test_the_table_of_errors_is_that_of_the_code() -> None:
    assert ERRORS.read_text() == errors(), "run `python -m tests.docs`"


def test_the_table_of_metrics_is_that_of_the_code() -> None:
    assert METRICS.read_text() == metrics(), "run `python -m tests.docs`"


def test_the_list_of_commands_is_that_of_the_code() -> None:
    assert COMMANDS.read_text() == commands(), "run `python -m tests.docs`"


def test_the_tables_of_fields_are_those_of_the_code() -> None:
    assert FIELDS.read_text() == fields(), "run `python -m tests.docs`"


def test_the_openapi_document_is_what_the_gateway_serves() -> None:
    assert OPENAPI.read_text() == openapi(), "run `python -m tests.docs`"


def test_the_page_is_made_of_the_openapi_document_and_fetches_nothing() -> None:
    page = API_PAGE.read_text()

    assert page == api_page(), "run `python -m tests.docs`"
    assert not re.findall(r"<(?:script|link|img|iframe|object)|\b(?:src|url|@import)\b\s*[=(]|https?://", page)


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
