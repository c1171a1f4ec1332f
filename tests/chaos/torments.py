"""What is done to them: one fault after the other, drawn by lot, from the main thread alone (it starts the stores).

A fault takes as long as it lasts: when `strike` returns it is undone, except that a gateway that was started again may
not be ready yet. Spans in which a store was surely unusable for all gateways are noted.
"""

from __future__ import annotations

import contextlib
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping

import attrs
import psycopg
import redis

from entrypoints.embedded.server import Server
from tests.chaos.cast import Cast, Span
from tests.chaos.operator import Operator
from tests.chaos.stage import Backend, Replica, Stage, unix_s
from tests.faults.line import FaultyLine, Way

_DOWN_S = (0.2, 2.5)
_DEAD_S = (0.0, 1.0)
_LATE_S = (0.03, 0.4)
_LASTS_S = (0.5, 2.5)
_PAUSE_S = (0.2, 1.4)
_FLUSHES = 3
_BETWEEN_FLUSHES_S = (0.3, 1.2)
_LATE_FLUSH_S = (0.0, 0.7)
_TIMES = {"kill -9 gateway": 6, "kill -9 Valkey": 2, "kill -9 PostgreSQL": 2}


@attrs.define(kw_only=True)
class Torments:
    """All faults, and what was done."""

    stage: Stage
    who: Cast
    operator: Operator
    chance: random.Random
    frozen_s: tuple[float, float]
    only: Collection[str] = ()
    """Names of faults; none means all."""
    done: Counter[str] = attrs.field(factory=Counter)
    unusable: list[tuple[str, Span]] = attrs.field(factory=list)
    """Which store, and from when until when nobody can have been admitted."""
    last_kill_s: float = 0.0
    """When a gateway was killed last, on the monotonic clock."""
    deaths_s: list[float] = attrs.field(factory=list)
    """When gateways were killed; Unix time."""
    story: list[str] = attrs.field(factory=list)
    """What was done when, for who reads of a failure."""
    _waiting: list[str] = attrs.field(factory=list)

    def rage(self, seconds: float) -> None:
        """One fault after the other, until the time is over; each kind comes before one comes again."""
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            time.sleep(self.chance.uniform(*_PAUSE_S))
            self._waiting = self._waiting or self.chance.sample(sorted(self._bag()), len(self._bag()))
            self.strike(self._waiting.pop())
            self._revive()

    def strike(self, name: str) -> None:
        """One fault."""
        self.story.append(f"{unix_s():.3f} {name}")
        self._faults[name.partition("#")[0]]()
        self.story.append(f"{unix_s():.3f} {name} is over")
        self.done[name.partition("#")[0]] += 1

    def _bag(self) -> set[str]:
        """Names to draw from; kills come more often, and those of gateways most often."""
        names = [name for name in self._faults if not self.only or name in self.only]
        return {f"{name}#{again}" for name in names for again in range(_TIMES.get(name, 1))}

    @property
    def _faults(self) -> Mapping[str, Callable[[], None]]:
        return {
            "kill -9 gateway": self._kill_gateway,
            "kill -9 Valkey": lambda: self._kill_store("Valkey"),
            "kill -9 PostgreSQL": lambda: self._kill_store("PostgreSQL"),
            "kill -9 backend": self._kill_backend,
            "backend rolled": self._roll_backend,
            "FLUSHALL": self._flush,
            "gateway frozen": self._freeze_gateway,
            "Valkey frozen": lambda: self._freeze_store("Valkey"),
            "PostgreSQL frozen": lambda: self._freeze_store("PostgreSQL"),
            "replies lost": self._lose_replies,
            "requests lost": self._lose_requests,
            "connections reset": self._reset,
            "line late": self._delay,
            "line held": self._hold,
            "line cut at a byte": self._cut,
            "line half dead": self._half_dead,
            "Valkey read-only": self._valkey_read_only,
            "PostgreSQL read-only": self._postgres_read_only,
            "key revoked": self._revoke,
            "tenant suspended": lambda: self.operator.suspend(self.chance.uniform(0.5, 3)),
            "limits changed": lambda: self.operator.change_limits(self.chance),
            "budget raised": self.operator.raise_budget,
        }

    # -- who dies ---------------------------------------------------------------------------------------------------

    def _kill_gateway(self) -> None:
        replica = self._replica()
        replica.program.kill()
        self.deaths_s.append(unix_s())
        self.last_kill_s = time.monotonic()
        self._last(*_DEAD_S)
        self.stage.revive(replica)

    def _kill_store(self, name: str) -> None:
        store = self._store(name)
        store.kill()
        with self._noted(name):
            self._last(*_DOWN_S)
        store.start()

    def _kill_backend(self) -> None:
        backend = self._backend()
        backend.program.kill()
        self._last(*_DOWN_S)
        backend.start()

    def _roll_backend(self) -> None:
        backend = self._backend()
        backend.program.stop()
        backend.start()

    def _flush(self) -> None:
        """Several times, while one gateway's way to PostgreSQL is long: what it has admitted then, Valkey forgets, and
        another gateway restores the windows before PostgreSQL has heard of it.
        """
        line = self._replica().to_postgres
        line.there.latency_s = self.chance.uniform(*_LATE_FLUSH_S)
        with redis.Redis.from_url(self.stage.house.redis_url) as plain:
            for _ in range(_FLUSHES):
                plain.flushall()
                self._last(*_BETWEEN_FLUSHES_S)
        line.clear()

    # -- who stands still -------------------------------------------------------------------------------------------

    def _freeze_gateway(self) -> None:
        program = self._replica().program
        program.send(signal.SIGSTOP)
        self._last(*self.frozen_s)
        program.send(signal.SIGCONT)

    def _freeze_store(self, name: str) -> None:
        store = self._store(name)
        store.suspend()
        with self._noted(name):
            self._last(*self.frozen_s)
        store.resume()

    # -- what fails on the way ----------------------------------------------------------------------------------------

    def _lose_replies(self) -> None:
        self._lose(lambda line: line.back)

    def _lose_requests(self) -> None:
        self._lose(lambda line: line.there)

    def _lose(self, which: Callable[[FaultyLine], Way]) -> None:
        """No connection loses bytes and lives: what is lost ends with a reset."""
        line = self._line()
        which(line).lost = True
        self._last(*_LASTS_S)
        line.reset()
        line.clear()

    def _reset(self) -> None:
        self.chance.choice((FaultyLine.reset, FaultyLine.hang_up))(self._line())

    def _delay(self) -> None:
        line = self._line()
        line.there.latency_s, line.back.latency_s = self.chance.uniform(*_LATE_S), self.chance.uniform(*_LATE_S)
        self._last(*_LASTS_S)
        line.clear()

    def _hold(self) -> None:
        line = self._line()
        self.chance.choice((line.there, line.back)).held = True
        self._last(*_LASTS_S)
        line.clear()

    def _cut(self) -> None:
        line = self._line()
        way = self.chance.choice((line.there, line.back))
        way.cut_by = self.chance.choice(("fin", "rst"))
        way.cut_after = self.chance.randrange(3000)
        self._last(*_LASTS_S)
        line.clear()

    def _half_dead(self) -> None:
        line = self._line()
        line.die_half()
        self._last(*_LASTS_S)
        line.reset()
        line.clear()

    # -- who takes nothing any more -----------------------------------------------------------------------------------

    def _valkey_read_only(self) -> None:
        with redis.Redis.from_url(self.stage.house.redis_url) as plain:
            plain.execute_command("REPLICAOF", "127.0.0.1", "1")
            with self._noted("Valkey"):
                self._last(*_LASTS_S)
            plain.execute_command("REPLICAOF", "NO", "ONE")

    def _postgres_read_only(self) -> None:
        with psycopg.connect(
            self.stage.stores.database_url, autocommit=True, options="-c default_transaction_read_only=off"
        ) as connection:
            connection.execute("alter system set default_transaction_read_only = on")
            connection.execute("select pg_reload_conf()")
            self._last(*_LASTS_S)
            connection.execute("alter system reset default_transaction_read_only")
            connection.execute("select pg_reload_conf()")

    # -- the operator -------------------------------------------------------------------------------------------------

    def _revoke(self) -> None:
        """While one gateway hears nothing from Valkey, and so of no revocation."""
        line = self._replica().to_valkey
        line.back.held = self.chance.random() < 0.5
        self.operator.replace_key(self.chance)
        line.clear()

    # -- by lot -----------------------------------------------------------------------------------------------------

    def _replica(self) -> Replica:
        return self.chance.choice(self.stage.replicas)

    def _backend(self) -> Backend:
        return self.chance.choice(self.stage.backends)

    def _line(self) -> FaultyLine:
        lines = [line for replica in self.stage.replicas for line in replica.lines]
        return self.chance.choice([*lines, *self.stage.to_backends, *self.stage.to_backends])

    def _last(self, least_s: float, most_s: float) -> None:
        time.sleep(self.chance.uniform(least_s, most_s))

    def _store(self, name: str) -> Server:
        return self.stage.stores.valkey if name == "Valkey" else self.stage.stores.postgres

    @contextlib.contextmanager
    def _noted(self, store: str) -> Iterator[None]:
        """That the store is surely unusable now."""
        began_s = unix_s()
        yield
        self.unusable.append((store, Span(from_s=began_s, until_s=unix_s())))

    def _revive(self) -> None:
        """A gateway that could not start while a store was down is started again, as its supervisor would."""
        for replica in self.stage.replicas:
            if not replica.program.running:
                self.stage.revive(replica)
                self.done["gateway started again by its supervisor"] += 1
