"""The stage: durable stores, two backends and three gateways, each gateway with lines of its own to the stores.

The operator and the poller reach the stores directly; only gateways suffer the lines.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs
import psycopg

from entrypoints.embedded import EmbeddedStores, start_stores
from tests.chaos.cast import write_models
from tests.e2e.house import House, fresh_database
from tests.e2e.programs import Gateway, Simulator, eventually, free_port
from tests.faults.line import FaultyLine

SETTINGS = {
    "BACKEND_MAX_IN_FLIGHT": "6",
    "QUEUE_DEPTH": "8",
    "QUEUE_WAIT_S": "3",
    "FIRST_BYTE_TIMEOUT_S": "12",
    "IDLE_TIMEOUT_S": "8",
    "SEND_TIMEOUT_S": "5",
    "CALL_TIMEOUT_S": "30",
    "PROCESS_BEAT_S": "1",
    "PROCESS_DEAD_AFTER_S": "6",
    "DRAIN_TIMEOUT_S": "3",
}
DEAD_AFTER_S = 6.0
"""As above: then another gateway closes the holds of one that is silent."""
_PACE = ("--tokens", "25", "--token-delay-ms", "15", "--prompt-delay-ms-per-token", "3", "--load-delay-ms", "300")
_GATEWAYS, _BACKENDS = 3, 2
_READY_WITHIN_S = 60


@attrs.define(kw_only=True)
class Backend:
    """A simulated backend that always comes back at its port; its log of truth outlives it."""

    folder: Path
    name: str
    options: Sequence[str]
    port: int = attrs.field(factory=free_port)
    _program: Simulator | None = attrs.field(default=None, init=False)

    @property
    def program(self) -> Simulator:
        """The one that was started last."""
        assert self._program is not None
        return self._program

    def start(self) -> None:
        """Starts it, or starts it again."""
        if self._program is not None:
            self._program.stop()  # its log's file too
        self._program = Simulator(self.folder, "--port", str(self.port), *self.options, name=self.name)

    def stop(self) -> None:
        """Ends it in good order."""
        self.program.stop()

    @property
    def truth(self) -> Path:
        """Its log of truth."""
        return self.program.truth


@attrs.define(kw_only=True)
class Replica:
    """A gateway that is started again whenever it is gone, and its lines to the stores."""

    to_postgres: FaultyLine
    to_valkey: FaultyLine
    program: Gateway
    frozen: bool = False
    kills: int = 0

    @property
    def lines(self) -> Sequence[FaultyLine]:
        """Both."""
        return (self.to_postgres, self.to_valkey)


@attrs.define(kw_only=True)
class Stage:
    """Everything that can be broken."""

    stores: EmbeddedStores
    house: House
    backends: Sequence[Backend]
    to_backends: Sequence[FaultyLine]
    replicas: list[Replica] = attrs.field(factory=list)
    _guard: threading.Lock = attrs.field(factory=threading.Lock)

    @property
    def urls(self) -> Sequence[str]:
        """Where the gateways are now."""
        return [replica.program.url for replica in self.replicas]

    def add_replica(self, to_postgres: FaultyLine, to_valkey: FaultyLine) -> None:
        """Starts a gateway on its lines."""
        program = self._start(to_postgres, to_valkey)
        self.replicas.append(Replica(to_postgres=to_postgres, to_valkey=to_valkey, program=program))

    def revive(self, replica: Replica) -> None:
        """Starts a gateway again that has ended, as its supervisor would."""
        replica.program = self._start(replica.to_postgres, replica.to_valkey)

    def _start(self, to_postgres: FaultyLine, to_valkey: FaultyLine) -> Gateway:
        return self.house.add_gateway(
            DATABASE_URL=to_postgres.database_url(self.house.database_url),
            REDIS_URL=to_valkey.redis_url(self.house.redis_url),
        )

    def calm_down(self) -> None:
        """Undoes every fault that lasts, and starts what is down."""
        for store in (self.stores.valkey, self.stores.postgres):
            with contextlib.suppress(Exception):  # it is down
                store.resume()
            store.start()
        for line in (*self.to_backends, *(line for replica in self.replicas for line in replica.lines)):
            line.clear()
        for backend in self.backends:
            if not backend.program.running:
                backend.start()
        for _ in eventually(_READY_WITHIN_S, every_s=0.2):
            ready = [self._is_ready(replica) for replica in self.replicas]  # each is asked, for each is to be started
            if all(ready):
                return

    def _is_ready(self, replica: Replica) -> bool:
        if replica.program.running:
            return replica.program.is_ready()
        self.revive(replica)  # one that began while a store was still recovering has ended, as it should
        return False


@contextlib.contextmanager
def open_stage(*, extra: dict[str, str] | None = None) -> Iterator[Stage]:
    """Opens it, and takes it down again whatever has become of it."""
    with tempfile.TemporaryDirectory(prefix="nzchaos", dir="/var/tmp", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)  # the servers' own account must be able to pass, when we are root
        with contextlib.ExitStack() as undo:
            stores = undo.enter_context(start_stores(folder / "state", durable=True))
            _remember_commit_times(stores)
            database_url = undo.enter_context(fresh_database(stores))
            undo.callback(stores.postgres.start)  # for what undoes the database
            backends = _backends(folder, undo)
            lines = [undo.enter_context(FaultyLine(("127.0.0.1", backend.port))) for backend in backends]
            listed = [{"name": f"gpu{n}", "url": line.http_url()} for n, line in enumerate(lines, start=1)]
            house = House(
                folder=folder,
                database_url=database_url,
                redis_url=stores.redis_url,
                simulator=backends[0].program,
                extra={**SETTINGS, "OLLAMA_BACKENDS": json.dumps(listed), **(extra or {})},
            )
            stage = Stage(stores=stores, house=house, backends=backends, to_backends=lines)
            undo.callback(_end_gateways, stage)
            sockets = stores.postgres.ground.sockets
            for _ in range(_GATEWAYS):
                to_postgres = undo.enter_context(FaultyLine(sockets / ".s.PGSQL.5432"))
                to_valkey = undo.enter_context(FaultyLine(stores.valkey.socket))
                stage.add_replica(to_postgres, to_valkey)
            for replica in stage.replicas:
                replica.program.wait_ready()
            yield stage


def _backends(folder: Path, undo: contextlib.ExitStack) -> Sequence[Backend]:
    options = ("--models", str(write_models(folder / "models.json")), "--num-parallel", "6", *_PACE)
    backends = [Backend(folder=folder, name=f"gpu{number}", options=options) for number in range(1, _BACKENDS + 1)]
    for backend in backends:
        backend.start()
        undo.callback(backend.stop)
    return backends


def _end_gateways(stage: Stage) -> None:
    for gateway in stage.house.gateways:
        if gateway.running:
            gateway.kill()
        gateway.stop()


def _remember_commit_times(stores: EmbeddedStores) -> None:
    """Has PostgreSQL remember when each transaction was committed: `now()` in a row is when its transaction began."""
    with psycopg.connect(stores.database_url, autocommit=True) as connection:
        connection.execute("alter system set track_commit_timestamp = on")
    stores.postgres.stop()
    stores.postgres.start()


def unix_s() -> float:
    """Now. One machine, one clock: the gateways', the stores' and the backends' too."""
    return time.time()
