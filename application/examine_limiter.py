"""What to think of Redis or Valkey, given the facts."""

from __future__ import annotations

from collections.abc import Sequence

from application.examine_database import clock
from application.findings import Finding, latency, ok, problem, warning
from domain.models import shortest
from domain.ports.inspection import LimiterFacts
from domain.ports.wedge_board import Runner

LEAST_VERSION = 7
_NEARLY_FULL = 0.9


def examine_limiter(facts: LimiterFacts, *, timeout_ms: float) -> Sequence[Finding]:
    """All points about it."""
    return [
        _version(facts),
        _role(facts),
        _eviction(facts),
        _memory(facts),
        _persistence(facts),
        clock("redis.clock", facts.name, facts.clock),
        latency("redis.pings", "answers", facts.pings_ms, timeout_ms, "LIMITER_TIMEOUT_MS"),
        *map(_wedged, facts.wedged),
    ]


def _version(facts: LimiterFacts) -> Finding:
    major = facts.version.partition(".")[0]
    if major.isdigit() and int(major) >= LEAST_VERSION:
        return ok("redis.version", f"{facts.name} {facts.version} answers.")
    return problem(
        "redis.version",
        f"{facts.name} {facts.version} is too old.",
        f"Upgrade it to Redis {LEAST_VERSION} or Valkey 8 or later.",
    )


def _role(facts: LimiterFacts) -> Finding:
    if facts.role == "master":
        return ok("redis.role", "It is a primary.")
    return problem("redis.role", f"It is a {facts.role} and cannot be written.", "Let REDIS_URL name the primary.")


def _eviction(facts: LimiterFacts) -> Finding:
    if facts.eviction == "noeviction":
        return ok("redis.eviction", "It evicts nothing (maxmemory-policy noeviction).")
    return problem(
        "redis.eviction",
        f"It may drop limits and slots when memory is short (maxmemory-policy {facts.eviction}).",
        "Set it: valkey-cli config set maxmemory-policy noeviction, and in its configuration file.",
    )


def _memory(facts: LimiterFacts) -> Finding:
    used = f"{facts.used_bytes / 2**20:,.0f} MiB"
    if not facts.most_bytes:
        return ok("redis.memory", f"{used} are in use, and there is no bound of its own.")
    sentence = f"{used} of {facts.most_bytes / 2**20:,.0f} MiB are in use."
    if facts.used_bytes < _NEARLY_FULL * facts.most_bytes:
        return ok("redis.memory", sentence)
    return warning("redis.memory", f"{sentence} When it is full, calls are refused with 503.", "Raise maxmemory.")


def _wedged(runner: Runner) -> Finding:
    return problem(
        f"wedged.{runner.backend}",
        f"{shortest(runner.model)} does not answer any more at {runner.backend}, though its server does; gateways keep "
        "calls for it away.",
        f"Restart Ollama on {runner.backend}: nothing else gives its lost slots back. Gateways notice by themselves.",
    )


def _persistence(facts: LimiterFacts) -> Finding:
    if facts.saves:
        return ok("redis.persistence", "It keeps its contents on disk.")
    return ok(
        "redis.persistence",
        "It keeps nothing on disk; after a restart windows are restored from the audit, tenant by tenant.",
    )
