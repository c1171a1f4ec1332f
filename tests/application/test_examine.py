"""What is thought of the stores, given facts about them: every ill is told, and what is well is not blamed."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from application.examine_database import Patience, examine_database
from application.examine_limiter import examine_limiter
from application.findings import Finding, Level, latency
from domain.ports.inspection import ClockReading, GatewaySign
from tests.fakes.inspection import HEALTHY_BOOKS, HEALTHY_DATABASE, HEALTHY_LIMITER

PATIENCE = Patience(ledger_timeout_s=1.0, call_timeout_s=1800.0, process_dead_after_s=60.0)
FAR = ClockReading(at=HEALTHY_DATABASE.clock.at, ahead_s=-3.5)
ALIVE = GatewaySign(id="g", host="one", silent_s=3.0)


def database(**changes: Any) -> dict[str, Finding]:
    of_books = {name: changes.pop(name) for name in list(changes) if hasattr(HEALTHY_BOOKS, name)}
    facts = attrs.evolve(HEALTHY_DATABASE, **{"books": attrs.evolve(HEALTHY_BOOKS, **of_books)} | changes)
    return {finding.subject: finding for finding in examine_database(facts, PATIENCE)}


def limiter(**changes: Any) -> dict[str, Finding]:
    facts = attrs.evolve(HEALTHY_LIMITER, **changes)
    return {finding.subject: finding for finding in examine_limiter(facts, timeout_ms=100)}


def ills(findings: dict[str, Finding]) -> dict[str, Level]:
    return {subject: finding.level for subject, finding in findings.items() if finding.level is not Level.OK}


@pytest.mark.parametrize(("alive", "sentence"), [(1, "1 gateway process is"), (2, "2 gateway processes are")])
def test_one_is_told_as_one(alive: int, sentence: str) -> None:
    assert database(gateways=[ALIVE] * alive)["gateways.alive"].sentence == f"{sentence} alive, on one."


def test_healthy_stores_have_no_ill() -> None:
    assert ills(database()) == ills(limiter()) == {}


@pytest.mark.parametrize(
    ("changes", "subject", "level", "remedy"),
    [
        ({"version_number": 140012}, "postgres.version", Level.PROBLEM, "Upgrade"),
        ({"writable": False, "commits_ms": ()}, "postgres.writable", Level.PROBLEM, "primary"),
        ({"revision": "0001"}, "postgres.revision", Level.PROBLEM, "neuronetz-gateway migrate"),
        ({"revision": "9999"}, "postgres.revision", Level.PROBLEM, "newer release"),
        ({"revision": None, "books": None}, "postgres.revision", Level.PROBLEM, "neuronetz-gateway migrate"),
        ({"fsync": False}, "postgres.durability", Level.WARNING, "postgresql.conf"),
        ({"synchronous_commit": "off"}, "postgres.durability", Level.WARNING, "postgresql.conf"),
        ({"clock": FAR}, "postgres.clock", Level.WARNING, "NTP"),
        ({"connections": 95}, "postgres.connections", Level.WARNING, "max_connections"),
        ({"gateways": [ALIVE] * 20}, "postgres.connections", Level.WARNING, "max_connections"),
        ({"commits_ms": (1.0, 700.0, 1.0)}, "postgres.commits", Level.WARNING, "LEDGER_TIMEOUT_S"),
        ({"commits_ms": (1500.0, 1500.0)}, "postgres.commits", Level.PROBLEM, "LEDGER_TIMEOUT_S"),
        ({"partitions_ahead": 0}, "audit.partitions", Level.WARNING, "make_audit_partitions"),
        ({"partitions_ahead": -1}, "audit.partitions", Level.PROBLEM, "make_audit_partitions"),
        ({"gateways": []}, "gateways.alive", Level.WARNING, "serve"),
        ({"gateways": [ALIVE, attrs.evolve(ALIVE, silent_s=61.0)]}, "gateways.alive", Level.WARNING, "ended"),
        ({"oldest_hold_s": 1900.0}, "holds.open", Level.WARNING, "restart"),
        ({"reaped": 3}, "holds.reaped", Level.WARNING, "log"),
        ({"timed_out": {"gpu1": 2}}, "backend.gpu1.wedged", Level.WARNING, "Restart Ollama"),
    ],
)
def test_an_ill_of_the_database_is_told_with_its_remedy(
    changes: dict[str, Any], subject: str, level: Level, remedy: str
) -> None:
    found = database(**changes)

    assert ills(found) == {subject: level}
    assert remedy in found[subject].remedy


@pytest.mark.parametrize(
    "changes", [{"oldest_hold_s": 1700.0}, {"timed_out": {"gpu1": 1}}, {"synchronous_commit": "remote_apply"}]
)
def test_what_is_in_order_is_not_blamed(changes: dict[str, Any]) -> None:
    assert ills(database(**changes)) == {}


@pytest.mark.parametrize(
    ("changes", "subject", "level", "remedy"),
    [
        ({"version": "6.2.1"}, "redis.version", Level.PROBLEM, "Upgrade"),
        ({"role": "slave"}, "redis.role", Level.PROBLEM, "primary"),
        ({"eviction": "allkeys-lru"}, "redis.eviction", Level.PROBLEM, "noeviction"),
        ({"used_bytes": 95, "most_bytes": 100}, "redis.memory", Level.WARNING, "maxmemory"),
        ({"clock": FAR}, "redis.clock", Level.WARNING, "NTP"),
        ({"pings_ms": (0.1, 0.1, 60.0)}, "redis.pings", Level.WARNING, "LIMITER_TIMEOUT_MS"),
        ({"pings_ms": (120.0,)}, "redis.pings", Level.PROBLEM, "LIMITER_TIMEOUT_MS"),
    ],
)
def test_an_ill_of_the_limit_store_is_told_with_its_remedy(
    changes: dict[str, Any], subject: str, level: Level, remedy: str
) -> None:
    found = limiter(**changes)

    assert ills(found) == {subject: level}
    assert remedy in found[subject].remedy


@pytest.mark.parametrize("changes", [{"saves": False}, {"used_bytes": 50, "most_bytes": 100}])
def test_a_store_that_keeps_nothing_or_is_bounded_is_well(changes: dict[str, Any]) -> None:
    assert ills(limiter(**changes)) == {}


def test_every_ill_has_a_remedy_and_what_is_well_has_none() -> None:
    found = [*database(reaped=1).values(), *limiter(role="slave").values()]

    assert all(bool(finding.remedy) is (finding.level is not Level.OK) for finding in found)


def test_latency_is_told_by_its_median_and_its_longest() -> None:
    assert "0.2 ms at the median and 9.0 ms at most" in latency("x", "answers", [0.1, 0.2, 9.0], 100, "X").sentence
