"""What is read from the living parts when somebody asks, instead of being counted as it happens.

The event loop looks, because the parts are its own; the rendering, which takes milliseconds, may then go on beside it
with what was seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

import attrs
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from adapters.postgres.lane import Lane as LedgerLane
from adapters.postgres.pool import Pool
from adapters.postgres.process_watch import Watch
from adapters.postgres.usage_journal import PostgresUsageJournal
from adapters.prometheus.families import Family, Kind
from adapters.redis.lane import Lane as LimitLane
from adapters.system.passwords import Argon2Passwords
from application.backends import Backends
from application.live_calls import LiveCalls
from application.rooms.identify import Identify
from application.seal_audit import SealAudit
from domain.faults import StoreUnavailable
from domain.models import shortest
from domain.ports.turns import Turns
from entrypoints.prompt_parts import PromptParts
from entrypoints.version import own_version

Seen = Iterable[tuple[tuple[str, ...], float]]
"""Labels and value of each series."""


@attrs.frozen(kw_only=True, eq=False)
class LiveParts:
    """The parts of one gateway process that have something to tell."""

    live_calls: LiveCalls
    turns: Turns
    backends: Backends
    identify: Identify
    passwords: Argon2Passwords
    journal: PostgresUsageJournal
    ledger_lane: LedgerLane
    pool: Pool
    watch: Watch
    limit_lane: LimitLane
    prompts: PromptParts
    sealer: SealAudit | None


@attrs.frozen
class _Look:
    family: Family
    at: Callable[[LiveParts], Seen]


def _gauge(name: str, meaning: str, at: Callable[[LiveParts], float]) -> _Look:
    return _Look(Family(name=name, kind=Kind.GAUGE, meaning=meaning), lambda parts: [((), at(parts))])


def _count(name: str, meaning: str, at: Callable[[LiveParts], float]) -> _Look:
    return _Look(Family(name=name, kind=Kind.COUNTER, meaning=meaning), lambda parts: [((), at(parts))])


def _by(label: str, kind: Kind, name: str, meaning: str, at: Callable[[LiveParts], Seen]) -> _Look:
    return _Look(Family(name=name, kind=kind, meaning=meaning, labels=(label,)), at)


def _backends_up(parts: LiveParts) -> Seen:
    return [((state.name,), float(state.healthy)) for state in parts.backends.states()]


def _models_wedged(parts: LiveParts) -> Seen:
    return [((state.name, shortest(model)), 1.0) for state in parts.backends.states() for model in state.wedged]


def _in_flight(parts: LiveParts) -> Seen:
    taken = parts.turns.in_flight
    return [((state.name,), taken.get(state.name, 0)) for state in parts.backends.states()]


def _connections(parts: LiveParts) -> Seen:
    use = parts.pool.use
    return [(("lent",), use.lent), (("idle",), use.idle)]


def _key_checks(parts: LiveParts) -> Seen:
    return [((answer,), count) for answer, count in attrs.asdict(parts.identify.checks).items()]


def _redis_connected(parts: LiveParts) -> float:
    try:
        return float(bool(parts.limit_lane.run_id))
    except StoreUnavailable:
        return 0.0


def _unsealed(parts: LiveParts) -> Seen:
    return [] if parts.sealer is None else [((), parts.sealer.unsealed_s)]


def _build(_parts: LiveParts) -> Seen:
    return [((own_version(),), 1.0)]


_LOOKS: Sequence[_Look] = (
    _by("version", Kind.GAUGE, "neuronetz_build_info", "Always 1; the version is in the label.", _build),
    _gauge("neuronetz_in_flight", "Calls in flight in this process.", lambda p: len(p.live_calls)),
    _gauge(
        "neuronetz_slots",
        "Slots in Redis that this process keeps alive: of its calls, and of abandoned ones a backend still works on.",
        lambda p: len(p.live_calls.slots()),
    ),
    _gauge("neuronetz_waiting", "Calls of this process that wait for a turn.", lambda p: p.turns.waiting),
    _gauge("neuronetz_asyncio_tasks", "Tasks of the event loop.", lambda _: len(asyncio.all_tasks())),
    _by(
        "backend", Kind.GAUGE, "neuronetz_backend_up", "Whether the backend answered when last looked at.", _backends_up
    ),
    _Look(
        Family(
            name="neuronetz_model_wedged",
            kind=Kind.GAUGE,
            meaning="1 for each model that does not answer any more at its backend, which must be restarted.",
            labels=("backend", "model"),
        ),
        _models_wedged,
    ),
    _by("backend", Kind.GAUGE, "neuronetz_backend_in_flight", "Turns of this process at the backend.", _in_flight),
    _gauge(
        "neuronetz_holds_open",
        "Open holds of all gateways, read with each beat; the same from every process, so take the maximum.",
        lambda p: p.watch.holds.open,
    ),
    _gauge(
        "neuronetz_oldest_hold_seconds",
        "Age of the oldest open hold of all gateways, likewise.",
        lambda p: p.watch.holds.oldest_s,
    ),
    _count(
        "neuronetz_reaped_holds_total",
        "Holds of dead processes that this one closed and charged in full.",
        lambda p: p.watch.holds.reaped,
    ),
    _gauge(
        "neuronetz_settlements_waiting",
        "Settlements not yet committed to PostgreSQL.",
        lambda p: p.ledger_lane.unsettled,
    ),
    _gauge("neuronetz_notes_waiting", "Rows of the audit not yet written.", lambda p: p.journal.waiting),
    _gauge(
        "neuronetz_audit_full",
        "1 while rows of the audit are lost, and so nothing is served.",
        lambda p: p.journal.full,
    ),
    _gauge(
        "neuronetz_postgres_connected", "Whether the ledger's connection stands.", lambda p: p.ledger_lane.connected
    ),
    _by(
        "state",
        Kind.GAUGE,
        "neuronetz_postgres_pool_connections",
        "Connections for all that is not the ledger, lent or idle.",
        _connections,
    ),
    _gauge("neuronetz_postgres_pool_waiting", "Who waits for one of them.", lambda p: p.pool.use.waiting),
    _gauge("neuronetz_redis_connected", "Whether the connection to Redis stands.", _redis_connected),
    _count(
        "neuronetz_redis_late_total",
        "Questions that Redis did not answer within LIMITER_TIMEOUT_MS.",
        lambda p: p.limit_lane.counts.late,
    ),
    _count(
        "neuronetz_redis_lost_total",
        "Questions whose connection to Redis broke.",
        lambda p: p.limit_lane.counts.lost,
    ),
    _count("neuronetz_redis_refused_total", "Error replies of Redis.", lambda p: p.limit_lane.counts.refused),
    _count(
        "neuronetz_redis_broken_total",
        "Connections to Redis that ended by themselves.",
        lambda p: p.limit_lane.counts.broken,
    ),
    _count(
        "neuronetz_redis_dropped_total",
        "Words to Redis that could neither be sent nor kept.",
        lambda p: p.limit_lane.counts.dropped,
    ),
    _by(
        "answered_by",
        Kind.COUNTER,
        "neuronetz_key_checks_total",
        "Look-ups of keys, by what answered: the keyed check, this process's memory, Redis, or PostgreSQL.",
        _key_checks,
    ),
    _count(
        "neuronetz_argon2_verifications_total",
        "Argon2id runs, 27 ms and 19 MiB each.",
        lambda p: p.passwords.verifications,
    ),
    _count(
        "neuronetz_prompts_lost_total",
        "Prompts and answers that should have been kept and could not; the audit says whose.",
        lambda p: p.prompts.log.lost if p.prompts.log else 0,
    ),
    _Look(
        Family(
            name="neuronetz_audit_unsealed_seconds",
            kind=Kind.GAUGE,
            meaning="Age of the oldest row of the audit that has no seal; the same from every process, so take the "
            "maximum. Absent without AUDIT_SEAL_KEY.",
        ),
        _unsealed,
    ),
)
OF_PARTS = tuple(look.family for look in _LOOKS)


class PartsCollector(Collector):
    """What was seen at the last look, for Prometheus' client."""

    def __init__(self, parts: LiveParts) -> None:
        self._parts = parts
        self._seen: Sequence[Metric] = ()

    def look(self) -> None:
        """To be called in the event loop."""
        self._seen = [_metric(look.family, look.at(self._parts)) for look in _LOOKS]

    def collect(self) -> Iterable[Metric]:
        """As Prometheus' client asks for it."""
        return self._seen


def _metric(family: Family, seen: Seen) -> Metric:
    kind = CounterMetricFamily if family.kind is Kind.COUNTER else GaugeMetricFamily
    metric = kind(family.name, family.meaning, labels=family.labels)
    for labels, value in seen:
        metric.add_metric(labels, float(value))
    return metric
