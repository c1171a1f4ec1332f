"""The bench works: a few requests of it, with every figure there."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from entrypoints.embedded import EmbeddedStores
from tests import bulk
from tests.bench import growth
from tests.bench.__main__ import arguments, sections
from tests.bench.accounts import footprint, of_family, of_program
from tests.bench.load import quantile
from tests.bench.questions import QUESTIONS
from tests.bench.stage import make_keys, open_stage, tenants


def test_the_family_counts_what_ended_children_used() -> None:
    family, own = of_family(os.getpid()), of_program(os.getpid())
    family_s, own_s = family(), own()

    subprocess.run([sys.executable, "-c", "sum(range(10**7))"], check=True)

    assert family() - family_s > own() - own_s


def test_a_footprint_is_that_of_the_process() -> None:
    seen = footprint(os.getpid())

    assert 0 < seen.pss_kib <= seen.rss_kib
    assert seen.fds >= 3
    assert seen.threads >= 1


def test_quantiles_of_few_and_of_none() -> None:
    assert quantile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert quantile([3.0, 1.0, 2.0], 0.99) == 3.0
    assert quantile([], 0.5) == 0.0


def test_an_unknown_section_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        arguments(["--only", "hot,nothing"])

    assert "unknown sections: nothing" in capsys.readouterr().err


@pytest.mark.storm
@pytest.mark.stores
def test_a_few_requests_fill_the_tables(stores: EmbeddedStores) -> None:
    options = arguments(["--only", "hot", "--rounds", "1", "--requests", "40", "--connections", "4"])
    with open_stage("--tokens", "24", "--num-parallel", "64", stores=stores) as stage:
        tables = list(sections(stage, make_keys(stage.house, tenants(1)), options))

    assert tables[0].title.startswith("hot: 4 connections")
    rows = {row[0]: row for row in tables[0].rows}
    for contender in ("direct", "hello", "relay", "gateway"):
        assert f"openai streamed, {contender}" in rows
    assert all(cell for cell in rows["native streamed, gateway"])


@pytest.mark.storm
@pytest.mark.stores
@pytest.mark.nightly
def test_a_small_full_database_fills_the_tables_of_growth(stores: EmbeddedStores) -> None:
    plan = growth.Plan(
        full=bulk.Size(tenants=1_000, keys=2_000, calls=5_000, months=2),
        distinct_keys=30,
        rounds=1,
        requests=40,
        first_calls=2,
        repeats=1,
        starts=0,
        keys=12,
    )
    with open_stage("--tokens", "4", "--num-parallel", "64", stores=stores) as stage:
        calls, questions, memory = growth.measure(stage, plan)

    assert [row[0] for row in calls.rows][::4] == ["known key, gateway CPU", "new key, gateway CPU"]
    assert len(questions.rows) == len(QUESTIONS)
    assert [row[0] for row in memory.rows] == ["0", "5", "10", "15", "20", "25", "30"]
