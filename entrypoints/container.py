"""The composition root: which adapter stands behind which port, said once.

Every provider carries the port it provides, so that a wrong adapter is a type error; arguments between providers are
not checked by the library, so a test resolves every provider. Nothing connects before `open_gateway`.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID, uuid4

from dependency_injector import containers, providers
from prometheus_client import CollectorRegistry

from adapters.ollama.model_backend import OllamaBackend
from adapters.postgres.address import DatabaseAddress
from adapters.postgres.audit_seals import PostgresAuditSeals
from adapters.postgres.budget_ledger import PostgresBudgetLedger
from adapters.postgres.lane import Lane as LedgerLane
from adapters.postgres.lane import LaneSettings
from adapters.postgres.pool import Pool
from adapters.postgres.process_watch import Watch, WatchSettings
from adapters.postgres.registers import PostgresKeyRegister
from adapters.postgres.usage_journal import PostgresUsageJournal
from adapters.prometheus.call_observer import PrometheusCallObserver
from adapters.redis import names as redis_names
from adapters.redis.key_cache import RedisKeyCache
from adapters.redis.lane import Lane as LimitLane
from adapters.redis.limit_store import RedisLimitStore
from adapters.redis.scripts import Scripts, read_scripts
from adapters.redis.subscriber import Subscriber
from adapters.redis.turns import RedisTurns
from adapters.redis.wedge_board import RedisWedgeBoard
from adapters.system.clock import SystemClock
from adapters.system.entropy import SystemEntropy
from adapters.system.passwords import Argon2Passwords
from application.backends import Backends
from application.live_calls import LiveCalls
from application.look_up import LookUp
from application.pipeline import Pipeline
from application.readiness import Readiness
from application.records import Observers
from application.rooms.admit import Admit
from application.rooms.identify import Identify
from application.seal_audit import SealAudit
from application.shared_time import SharedTime
from application.signs_of_life import SignsOfLife
from application.upkeep import Upkeep
from application.watchdog import Watchdog
from domain.ports.budget_ledger import BudgetLedger
from domain.ports.call_observer import CallObserver
from domain.ports.key_cache import KeyCache
from domain.ports.limit_store import LimitStore
from domain.ports.model_backend import ModelBackend
from domain.ports.registers import KeyRegister
from domain.ports.surroundings import Clock, Entropy, PasswordHash
from domain.ports.turns import Turns
from domain.ports.wedge_board import WedgeBoard
from domain.seals import SealKey
from entrypoints import call_bounds
from entrypoints.http.door import Door
from entrypoints.observability.exposition import Exposition
from entrypoints.observability.listener import OFF
from entrypoints.observability.live_parts import LiveParts
from entrypoints.observability.tracing import Tracing, open_tracing
from entrypoints.prompt_parts import PromptParts, prompt_parts
from entrypoints.settings import Settings
from entrypoints.settings_words import Traces

SLOT_LEASE_S = 30.0
"""After which a slot that is not renewed is free. The scripts of adapters/redis say the same number."""
_KEY_CACHE_S = 30.0
"""How long a verified key is remembered; a revocation that was announced does not wait for it."""


def _database(settings: Settings) -> DatabaseAddress:
    return DatabaseAddress.read(settings.need_database_url().unwrap())


def _ledger_lane(settings: Settings, address: DatabaseAddress, process_id: UUID) -> LedgerLane:
    return LedgerLane(address, process_id, LaneSettings(patience_s=settings.ledger_timeout_s))


def _limit_lane(settings: Settings, scripts: Scripts) -> LimitLane:
    url = settings.need_redis_url().unwrap()
    return LimitLane(url, scripts, budget_s=settings.limiter_timeout_ms / 1000)


def _backends(settings: Settings) -> Sequence[ModelBackend]:
    keep_alive = settings.ollama_keep_alive or None
    return [OllamaBackend(address, keep_alive=keep_alive) for address in settings.addresses]


def _turns(
    settings: Settings, backends: Sequence[ModelBackend], lane: LimitLane, scripts: Scripts, process_id: UUID
) -> RedisTurns:
    most = {backend.name: backend.most_in_flight for backend in backends}
    return RedisTurns(
        lane,
        scripts,
        process_id=process_id.hex,
        most_in_flight=most,
        depth=settings.queue_depth * len(most),
        wait_s=settings.queue_wait_s,
    )


def _turns_given(settings: Settings, scripts: Scripts, process_id: UUID, turns: RedisTurns) -> Subscriber:
    channel = redis_names.turns_given_to(process_id.hex)
    return Subscriber(settings.need_redis_url().unwrap(), scripts, channel=channel, heard=turns.heard)


def _observer(settings: Settings, registry: CollectorRegistry, tracing: Tracing | None) -> CallObserver:
    numbers = [PrometheusCallObserver(registry)] if settings.metrics_bind != OFF else []
    return Observers(*numbers, *([tracing.observer] if tracing is not None else []))


def _tracing(settings: Settings) -> Tracing | None:
    return open_tracing() if settings.traces is Traces.OTLP else None


def _key_cache(lane: LimitLane, clock: SharedTime, settings: Settings) -> KeyCache:
    return RedisKeyCache(lane, peppers=settings.need_peppers(), clock=clock)


def _identify(
    settings: Settings, register: KeyRegister, cache: KeyCache, passwords: PasswordHash, clock: SharedTime
) -> Identify:
    return Identify(
        register=register,
        cache=cache,
        passwords=passwords,
        clock=clock,
        peppers=settings.need_peppers(),
        remember_s=_KEY_CACHE_S,
    )


def _upkeep(
    settings: Settings,
    live_calls: LiveCalls,
    limits: LimitStore,
    turns: Turns,
    backends: Backends,
    watchdog: Watchdog,
    identify: Identify,
) -> Upkeep:
    return Upkeep(
        live_calls=live_calls,
        limits=limits,
        turns=turns,
        backends=backends,
        watchdog=watchdog,
        identify=identify,
        slot_lease_s=SLOT_LEASE_S,
        poll_interval_s=settings.poll_interval_s,
    )


def _journal(pool: Pool, clock: Clock) -> PostgresUsageJournal:
    return PostgresUsageJournal(pool, clock_s=clock.monotonic_s)


def _sealer(settings: Settings, pool: Pool, clock: Clock) -> SealAudit | None:
    if not settings.audit_seal_key:
        return None
    current, *_ = settings.need_audit_seal_keys()
    return SealAudit(seals=PostgresAuditSeals(pool), key=SealKey.made_from(current), clock=clock)


def _watch(settings: Settings, address: DatabaseAddress, process_id: UUID, upkeep: Upkeep) -> Watch:
    how_often = WatchSettings(
        beat_every_s=settings.process_beat_s,
        reap_every_s=settings.process_beat_s,
        stale_after_s=settings.process_dead_after_s,
    )
    return Watch(address, process_id, upkeep.taken_in, how_often)


class Parts(containers.DeclarativeContainer):
    """Every part of one gateway process, each made once."""

    settings: providers.Provider[Settings] = providers.Dependency(instance_of=Settings)

    clock: providers.Provider[Clock] = providers.Singleton(SystemClock)
    shared_time: providers.Provider[SharedTime] = providers.Singleton(SharedTime, clock)
    entropy: providers.Provider[Entropy] = providers.Singleton(SystemEntropy)
    passwords: providers.Provider[Argon2Passwords] = providers.Singleton(Argon2Passwords)

    process_id: providers.Provider[UUID] = providers.Singleton(uuid4)
    database: providers.Provider[DatabaseAddress] = providers.Singleton(_database, settings)
    pool: providers.Provider[Pool] = providers.Singleton(Pool, database)
    ledger_lane: providers.Provider[LedgerLane] = providers.Singleton(_ledger_lane, settings, database, process_id)
    ledger: providers.Provider[BudgetLedger] = providers.Singleton(PostgresBudgetLedger, ledger_lane, pool)
    register: providers.Provider[KeyRegister] = providers.Singleton(PostgresKeyRegister, pool)
    journal: providers.Provider[PostgresUsageJournal] = providers.Singleton(_journal, pool, clock)

    scripts: providers.Provider[Scripts] = providers.Singleton(read_scripts)
    limit_lane: providers.Provider[LimitLane] = providers.Singleton(_limit_lane, settings, scripts)
    limits: providers.Provider[LimitStore] = providers.Singleton(RedisLimitStore, limit_lane, scripts)
    key_cache: providers.Provider[KeyCache] = providers.Singleton(_key_cache, limit_lane, shared_time, settings)

    model_backends: providers.Provider[Sequence[ModelBackend]] = providers.Singleton(_backends, settings)
    live_calls: providers.Provider[LiveCalls] = providers.Singleton(
        LiveCalls, clock, providers.Singleton(call_bounds.deadlines, settings)
    )
    signs: providers.Provider[SignsOfLife] = providers.Singleton(SignsOfLife, live_calls, clock)
    backends: providers.Provider[Backends] = providers.Singleton(Backends, model_backends, signs)
    wedge_board: providers.Provider[WedgeBoard] = providers.Singleton(RedisWedgeBoard, limit_lane)
    watchdog: providers.Provider[Watchdog] = providers.Singleton(
        Watchdog,
        backends=backends,
        signs=signs,
        board=wedge_board,
        entropy=entropy,
        patience_s=settings.provided.first_byte_timeout_s,
    )
    turns: providers.Provider[RedisTurns] = providers.Singleton(
        _turns, settings, model_backends, limit_lane, scripts, process_id
    )
    turns_given: providers.Provider[Subscriber] = providers.Singleton(
        _turns_given, settings, scripts, process_id, turns
    )

    registry: providers.Provider[CollectorRegistry] = providers.Singleton(CollectorRegistry)
    tracing: providers.Provider[Tracing | None] = providers.Singleton(_tracing, settings)
    observer: providers.Provider[CallObserver] = providers.Singleton(_observer, settings, registry, tracing)

    identify: providers.Provider[Identify] = providers.Singleton(
        _identify, settings, register, key_cache, passwords, shared_time
    )
    admit: providers.Provider[Admit] = providers.Singleton(Admit, limits=limits, ledger=ledger)
    prompts: providers.Provider[PromptParts] = providers.Singleton(
        prompt_parts, settings, pool, limit_lane, clock, entropy
    )
    pipeline: providers.Provider[Pipeline] = providers.Singleton(
        Pipeline,
        identify=identify,
        admit=admit,
        limits=limits,
        ledger=ledger,
        journal=journal,
        backends=backends,
        turns=turns,
        live_calls=live_calls,
        watchdog=watchdog,
        clock=clock,
        caps=providers.Singleton(call_bounds.caps, settings),
        observer=observer,
        keep=prompts.provided.keep,
    )
    look_up: providers.Provider[LookUp] = providers.Singleton(
        LookUp, identify=identify, admit=admit, ledger=ledger, journal=journal, backends=backends
    )
    readiness: providers.Provider[Readiness] = providers.Singleton(
        Readiness, ledger=ledger, limits=limits, journal=journal, backends=backends
    )
    upkeep: providers.Provider[Upkeep] = providers.Singleton(
        _upkeep, settings, live_calls, limits, turns, backends, watchdog, identify
    )
    sealer: providers.Provider[SealAudit | None] = providers.Singleton(_sealer, settings, pool, clock)
    watch: providers.Provider[Watch] = providers.Singleton(_watch, settings, database, process_id, upkeep)
    door: providers.Provider[Door] = providers.Singleton(
        Door,
        pipeline=pipeline,
        look_up=look_up,
        readiness=readiness,
        journal=journal,
        observer=observer,
        entropy=entropy,
        intake=providers.Singleton(call_bounds.intake, settings),
    )
    exposition: providers.Provider[Exposition] = providers.Singleton(
        Exposition,
        registry,
        providers.Singleton(
            LiveParts,
            live_calls=live_calls,
            turns=turns,
            backends=backends,
            identify=identify,
            passwords=passwords,
            journal=journal,
            ledger_lane=ledger_lane,
            pool=pool,
            watch=watch,
            limit_lane=limit_lane,
            prompts=prompts,
            sealer=sealer,
        ),
    )
