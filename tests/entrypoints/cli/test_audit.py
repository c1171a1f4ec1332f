"""The audit at the command line: what is shown, followed and exported."""

from __future__ import annotations

import csv
import io
import json
import os
import stat
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest
from rich.cells import cell_len

from domain.faults import FaultCode, StoreUnavailable
from domain.ports.audit_reader import AuditFilter, AuditLine, AuditNews, AuditPlace
from entrypoints.cli.audit_lines import text_line
from tests.contracts.audit_reader import a_line
from tests.entrypoints.cli.conftest import Desk
from tests.fakes.audit_reader import MemoryAuditReader


@pytest.fixture
def told(acme: Desk) -> Desk:
    """A desk whose audit has three calls, an hour apart, the last one now."""
    calls: Sequence[dict[str, Any]] = (
        {"event": "refused", "status": 429, "code": "rate_limited", "count": 7, "outcome": None},
        {},
        {"outcome": "cut"},
    )
    for hours, words in enumerate(calls):
        acme.audit.lines.append(
            a_line(
                at=acme.clock.now() - timedelta(hours=2 - hours),
                tenant=acme.register.by_name["acme"],
                request_id=f"{hours:032x}",
                key_prefix="nz_abcd1234",
                route="/api/chat",
                model="llama3.2:latest",
                **{"prompt_tokens": 1200, "output_tokens": 34, "duration_ms": 1250} | words,
            )
        )
    return acme


def requests(printed: str) -> list[int]:
    return [int(line["request_id"], 16) for line in json.loads(printed)]


def test_people_see_the_newest_last(told: Desk) -> None:
    rows = told("audit").stdout.splitlines()

    assert len(rows) == 4
    assert rows[1].split() == [
        *("01-15", "06:00:00", "refused", "acme", "nz_abcd1234", "/api/chat", "llama3.2:latest"),
        *("429", "rate_limited", "x7", "1,200+34", "1.2", "s"),
    ]
    assert "cut 200" in rows[3]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--tenant", "acme"], [0, 1, 2]),
        (["--limit", "2"], [1, 2]),
        (["--since", "90m"], [1, 2]),
        (["--since", "2027-01-15T06:30", "--until", "30m"], [1]),
        (["--event", "refused"], [0]),
        (["--outcome", "cut"], [2]),
        (["--request", f"{1:032X}"], [1]),
        (["--request", f"req_{1:032x}"], [1]),
        (["--request", f"chatcmpl-{1:032x}"], [1]),
        (["--request", "00000000-0000-0000-0000-000000000001"], [1]),
        (["--key", "nz_zzzz9999"], []),
    ],
)
def test_each_filter_leaves_others_out(told: Desk, options: list[str], found: list[int]) -> None:
    assert requests(told("audit", "--json", *options).stdout) == found


def test_a_change_by_the_operator_names_him_and_it(desk: Desk) -> None:
    desk.audit.lines.append(
        a_line(event="admin", outcome=None, status=None, actor="cli:me", detail={"change": "add_tenant"})
    )

    assert "add_tenant by cli:me" in desk("audit").stdout


def test_what_a_start_holds_is_told_from_what_is_charged(desk: Desk) -> None:
    desk.audit.lines.append(a_line(event="started", outcome=None, status=None, held_tokens=2100))

    assert "<=2,100" in desk("audit").stdout


def test_nothing_found_is_a_sentence(desk: Desk) -> None:
    assert desk("audit").stdout == "There is no such line.\n"


def test_an_unknown_tenant_is_asked_about(told: Desk) -> None:
    failed = told("audit", "--tenant", "acne")

    assert failed.exit_code == 1
    assert failed.stderr == "Error: There is no tenant acne. Did you mean acme?\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["audit", "--request", "x"],
        ["audit", "--since", "999999w"],
        ["audit", "--since", "0001-01-01T00:00+14:00"],
        ["audit", "--until", "9999-12-31T23:59-10:00"],
        ["audit", "--follow", "--until", "1h"],
        ["audit", "--tenant", "acme", "export", "--format", "csv", "--output", "x"],
        ["audit", "export", "--format", "xml", "--output", "x"],
    ],
)
def test_what_makes_no_sense_is_a_usage_error(told: Desk, arguments: list[str]) -> None:
    assert told(*arguments).exit_code == 2


class EndingReader(MemoryAuditReader):
    """Two pieces of news with an outage between them; then Ctrl-C."""

    asked = 0

    async def follow(self, wanted: AuditFilter, after: AuditPlace) -> AuditNews:
        self.asked += 1
        if self.asked == 2:
            raise StoreUnavailable(FaultCode.LEDGER_UNAVAILABLE, "PostgreSQL cannot answer.")
        if self.asked == 4:
            raise KeyboardInterrupt
        self.lines.append(attrs.evolve(self.lines[0], request_id=f"{9 + self.asked:032x}"))
        return await super().follow(wanted, after)


def test_followed_lines_stand_in_columns_whatever_script_a_name_is_in() -> None:
    lines = [text_line(attrs.evolve(a_line(model="m"), tenant_name=name)) for name in ("acme", "日本語")]

    left = [line[: line.index(" m ")] for line in lines]

    assert cell_len(left[0]) == cell_len(left[1])


def test_following_outlives_an_outage_and_repeats_nothing(told: Desk) -> None:
    reader = EndingReader(told.register.books)
    reader.lines = told.audit.lines
    told.audit = reader

    followed = told("audit", "--follow", "--json", "--limit", "1")

    lines = [json.loads(line) for line in followed.stdout.splitlines()]
    assert [int(line["request_id"], 16) for line in lines] == [2, 10, 12]
    assert followed.exit_code == 130
    assert followed.stderr.count("PostgreSQL cannot answer.") == 1


def test_a_search_that_takes_too_long_is_told_with_what_makes_it_shorter(told: Desk) -> None:
    told.audit.patient = False

    failed = told("audit", "--outcome", "no_such_word")

    assert failed.exit_code == 1
    assert failed.stderr == (
        "Error: PostgreSQL broke the search off, because it took too long. Give --since, or a later one.\n"
    )
    assert told("audit", "--outcome", "no_such_word", "--since", "2h").exit_code == 0


# ---- export ----


def exported(desk: Desk, kind: str, *options: str) -> str:
    done = desk("audit", "export", "--format", kind, "--output", "out", *options)
    assert done.exit_code == 0, done.stderr
    return Path("out").read_bytes().decode()


def test_an_export_has_every_line_and_field(told: Desk) -> None:
    as_json = [json.loads(line) for line in exported(told, "jsonl").splitlines()]
    as_csv = list(csv.DictReader(io.StringIO(exported(told, "csv"))))

    assert [line["request_id"] for line in as_json] == [line["request_id"] for line in as_csv]
    assert len(as_json) == 3
    assert set(as_json[0]) == set(as_csv[0]) == {field.name for field in attrs.fields(AuditLine)}
    assert as_json[0]["at"] == as_csv[0]["at"] == "2027-01-15T06:00:00.250000Z"
    assert (as_json[0]["prompt_tokens"], as_csv[0]["prompt_tokens"], as_csv[0]["outcome"]) == (1200, "1200", "")


def test_an_export_is_filtered(told: Desk) -> None:
    assert exported(told, "jsonl", "--outcome", "cut").count("\n") == 1


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "＝1"])  # noqa: RUF001  as typed
def test_text_that_a_spreadsheet_would_run_is_made_harmless(desk: Desk, text: str) -> None:
    desk.audit.lines.append(a_line(model=text, output_tokens=-5))

    (row,) = csv.DictReader(io.StringIO(exported(desk, "csv"), newline=""))

    assert row["model"] == f"'{text}"
    assert row["output_tokens"] == "-5"


def test_quotes_and_line_breaks_stay_in_their_cell(desk: Desk) -> None:
    desk.audit.lines.append(a_line(model='a","b\r\nc'))

    (row,) = csv.DictReader(io.StringIO(exported(desk, "csv"), newline=""))

    assert row["model"] == 'a","b\r\nc'


def test_an_export_is_its_owners_alone_and_replaces_the_former(told: Desk) -> None:
    Path("out").write_text("former", encoding="utf-8")
    Path("out").chmod(0o644)

    exported(told, "jsonl")

    assert stat.S_IMODE(Path("out").stat().st_mode) == 0o600
    assert [path.name for path in Path().iterdir()] == ["out"]


def test_an_export_that_breaks_off_leaves_nothing_and_keeps_the_former(told: Desk) -> None:
    Path("out").write_text("former", encoding="utf-8")
    told.register.books.unavailable = True

    failed = told("audit", "export", "--format", "csv", "--output", "out")

    assert failed.exit_code == 1
    assert failed.stderr.startswith("Error: PostgreSQL cannot answer.")
    assert Path("out").read_text(encoding="utf-8") == "former"
    assert [path.name for path in Path().iterdir()] == ["out"]


def test_what_is_no_file_is_not_replaced_by_one(told: Desk) -> None:
    os.mkfifo("pipe")

    failed = told("audit", "export", "--format", "csv", "--output", "pipe")

    assert failed.exit_code == 1
    assert failed.stderr.startswith("Error: pipe is a device or a pipe")
    assert Path("pipe").is_fifo()


def test_of_a_link_the_file_is_replaced_that_it_points_to(told: Desk) -> None:
    Path("folder").mkdir()
    Path("out").symlink_to("folder/file")

    assert exported(told, "jsonl").count("\n") == 3

    assert Path("out").is_symlink()
    assert not Path("folder/file").is_symlink()


def test_a_folder_that_is_not_there_is_said_in_a_sentence(told: Desk) -> None:
    failed = told("audit", "export", "--format", "csv", "--output", "no/such/out")

    assert failed.exit_code == 1
    assert failed.stderr == (
        "Error: no/such/out cannot be written: No such file or directory. Name a file in a folder of yours.\n"
    )
