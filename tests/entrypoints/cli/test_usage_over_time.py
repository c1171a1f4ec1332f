"""Usage over time, and of all tenants, at the command line."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from domain.budgets import Window
from domain.ports.usage_reader import SpanUse
from entrypoints.cli.usage_chart import bars
from tests.entrypoints.cli.conftest import Desk
from tests.entrypoints.cli.test_policies_and_usage import key_of


@pytest.mark.parametrize(("by", "rows"), [("hour", 24), ("day", 30), ("month", 12)])
def test_every_span_has_a_row_and_the_present_is_the_last(acme: Desk, by: str, rows: int) -> None:
    acme.register.call_with(key_of(acme), prompt_tokens=1200, output_tokens=300)

    shown = json.loads(acme("usage", "--tenant", "acme", "--by", by, "--json").stdout)

    assert len(shown["spans"]) == rows
    assert [span["calls"] for span in shown["spans"]] == [0] * (rows - 1) + [1]
    assert shown["spans"][-1] | {"starts": ""} == {
        "starts": "",
        "calls": 1,
        "prompt_tokens": 1200,
        "output_tokens": 300,
        "refused": 1,
    }


def test_people_see_numbers_and_in_a_pipe_no_picture(acme: Desk) -> None:
    acme.register.call_with(key_of(acme), prompt_tokens=1200, output_tokens=300)

    rows = acme("usage", "--tenant", "acme", "--by", "day", "--since", "2d").stdout.splitlines()

    assert rows[0].split() == ["FROM", "(UTC)", "CALLS", "TOKENS", "IN", "TOKENS", "OUT", "REFUSED"]
    assert rows[-1].split() == ["2027-01-15", "1", "1,200", "300", "1"]
    assert len(rows) == 4


def test_one_key_is_shown_by_itself(acme: Desk) -> None:
    own, other = key_of(acme, "own"), key_of(acme, "other")
    acme.register.call_with(other, prompt_tokens=1, output_tokens=1)

    spans = json.loads(acme("usage", "--tenant", "acme", "--key", own, "--by", "hour", "--json").stdout)["spans"]

    assert sum(span["calls"] for span in spans) == 0


def test_more_spans_than_anybody_reads_are_a_sentence(acme: Desk) -> None:
    failed = acme("usage", "--tenant", "acme", "--by", "hour", "--since", "365d")

    assert failed.exit_code == 1
    assert failed.stderr == (
        "Error: These are 8,761 parts, and 1,000 are the most. Give a later --since, or a longer span with --by.\n"
    )


@pytest.mark.parametrize(
    "options",
    [["--by", "day"], ["--since", "1d"], ["--tenant", "acme", "--since", "1d"], ["--tenant", "acme", "--limit", "3"]],
)
def test_options_that_do_not_go_together_are_a_usage_error(acme: Desk, options: list[str]) -> None:
    assert acme("usage", *options).exit_code == 2


def test_all_tenants_are_shown_by_what_they_used_and_no_more_than_asked(acme: Desk) -> None:
    acme("set-budgets", "--tenant", "acme", "--daily", "1000")
    acme("create-tenant", "--name", "other")
    for name, used in (("acme", 600), ("other", 900)):
        acme.register.use_today(name, used=used, held=0)
        tenant = acme.register.by_name[name]
        start = Window.MONTHLY.start(acme.clock.now())
        acme.register.books.level(tenant.id, tenant.id, Window.MONTHLY, start).used = 2 * used

    people = acme("usage").stdout.splitlines()
    one = json.loads(acme("usage", "--limit", "1", "--json").stdout)

    assert [row.split()[:6] for row in people[1:]] == [
        ["other", "active", "900", "-", "1,800", "-"],
        ["acme", "active", "600", "60%", "1,200", "-"],
    ]
    assert [tenant["tenant"] for tenant in one] == ["other"]


def test_without_a_tenant_the_first_step_is_told(desk: Desk) -> None:
    assert "create-tenant" in desk("usage").stdout


def test_time_moves_the_spans(acme: Desk) -> None:
    acme.register.call_with(key_of(acme), prompt_tokens=10, output_tokens=0)
    acme.clock.advance(timedelta(hours=30).total_seconds())
    acme.register.books.now = acme.clock.now

    spans = json.loads(acme("usage", "--tenant", "acme", "--by", "hour", "--json").stdout)["spans"]

    assert sum(span["calls"] for span in spans) == 0


@pytest.mark.parametrize(("prompt", "output"), [(10, -10), (100, -99), (-5, -5), (0, 0)])
def test_a_correction_of_an_earlier_span_draws_no_bar_and_breaks_none(prompt: int, output: int) -> None:
    use = SpanUse(
        starts=datetime(2027, 1, 15, tzinfo=UTC), calls=1, prompt_tokens=prompt, output_tokens=output, refused=0
    )

    (bar,) = bars([use])

    assert len(bar) == (24 if prompt > 0 else 0)
