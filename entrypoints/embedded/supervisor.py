"""Real PostgreSQL and real Valkey for `quickstart` and for the tests, started and ended with us.

    start_stores()
      +- account          who the servers run as
      +- state directory  made or checked, locked, its servers' versions checked
      +- socket directory made or checked
      +- Valkey, then PostgreSQL, each as our child, until each answers
      +- our database

Everything is undone in reverse, whether the start fails half way or the stores are stopped: PostgreSQL
before Valkey, both before the sockets go, and the lock last. However this program ends, the servers end too;
and the next start takes up where they left off.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import attrs

from entrypoints.embedded.account import Account, choose_account
from entrypoints.embedded.binaries import find_postgres_bin, find_valkey
from entrypoints.embedded.child import require_main_thread, require_no_event_loop
from entrypoints.embedded.errors import StateDirError
from entrypoints.embedded.postgres import PostgresServer
from entrypoints.embedded.reach import reachable_postgres, reachable_valkey, require_way_in
from entrypoints.embedded.server import Ground
from entrypoints.embedded.socket_dir import choose_socket_dir, open_socket_dir, remove_socket_dir
from entrypoints.embedded.state_dir import default_state_dir, exclusively, open_state_dir
from entrypoints.embedded.valkey import ValkeyServer
from entrypoints.embedded.versions import postgres_major, store_version


def _say_nothing(_sentence: str) -> None:
    """Is the listener that does not listen."""


@attrs.frozen(kw_only=True)
class EmbeddedStores:
    """Both stores, up and answering; a context manager that stops them.

    Attributes:
        database_url: for psycopg or SQLAlchemy; holds the password, hence not in the repr.
        redis_url: for redis-py.
        postgres: the server, for tests that break it.
        valkey: likewise.
    """

    database_url: str = attrs.field(repr=False)
    redis_url: str
    postgres: PostgresServer
    valkey: ValkeyServer
    _undo: contextlib.ExitStack = attrs.field(repr=False)
    _owner_pid: int = attrs.field(factory=os.getpid, init=False, repr=False)

    def stop(self) -> None:
        """Stops PostgreSQL, then Valkey, and gives the state directory free; nothing to do a second time.

        Raises:
            ServerFailedError: one of them would not end; the other was stopped all the same.
        """
        if os.getpid() == self._owner_pid:  # a fork of us that leaves the context must not pull the rug
            self._undo.close()

    def check(self) -> None:
        """Says nothing if both servers are running.

        Raises:
            ServerFailedError: one has died; with the end of its log.
        """
        self.postgres.check()
        self.valkey.check()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start_stores(
    state_dir: Path | None = None,
    *,
    run_as: str | None = None,
    durable: bool = True,
    max_connections: int = 100,
    postgres_port: int = 0,
    valkey_port: int = 0,
    ready_within_s: float = 30.0,
    on_step: Callable[[str], None] = _say_nothing,
) -> EmbeddedStores:
    """Starts both stores, and returns when both answer.

    Args:
        state_dir: where to keep them; see `default_state_dir` for None.
        run_as: the account for the servers, when we are root; None for `nobody`.
        durable: False for tests: faster; a killed server still loses no acknowledged row, but a power cut may
            lose or spoil everything.
        max_connections: how many clients PostgreSQL admits.
        postgres_port: a port of 127.0.0.1 besides the unix socket; 0 for none.
        valkey_port: likewise, and without a password.
        ready_within_s: how long each server may take to answer.
        on_step: is told, in a few words, what goes on.

    Raises:
        EmbeddedError: with a sentence and a remedy; nothing is left running then.
    """
    require_main_thread()
    require_no_event_loop()
    try:
        return _start(
            state_dir,
            choose_account(run_as),
            on_step,
            _Wishes(
                durable=durable,
                max_connections=max_connections,
                postgres_port=postgres_port,
                valkey_port=valkey_port,
                ready_within_s=ready_within_s,
            ),
        )
    except OSError as error:
        raise StateDirError(
            f"The stores cannot be started: {error}.", "See to the file it names: its owner, its mode, a full disk."
        ) from error


@attrs.frozen(kw_only=True)
class _Wishes:
    durable: bool
    max_connections: int
    postgres_port: int
    valkey_port: int
    ready_within_s: float


def _start(state_dir: Path | None, account: Account, on_step: Callable[[str], None], wishes: _Wishes) -> EmbeddedStores:
    state = open_state_dir(state_dir or default_state_dir(os.environ, as_root=os.geteuid() == 0), account)
    require_way_in(state.root, account)
    with contextlib.ExitStack() as undo:
        lock_fd = undo.enter_context(exclusively(state, on_step))
        sockets = choose_socket_dir(state, account, os.environ)
        open_socket_dir(sockets, account)
        undo.callback(remove_socket_dir, sockets)
        ground = Ground(
            state=state,
            sockets=sockets,
            account=account,
            lock_fd=lock_fd,
            durable=wishes.durable,
            ready_within_s=wishes.ready_within_s,
        )
        valkey = _start_valkey(ground, undo, on_step, wishes)
        postgres = _start_postgres(ground, undo, on_step, wishes)
        return EmbeddedStores(
            database_url=postgres.url, redis_url=valkey.url, postgres=postgres, valkey=valkey, undo=undo.pop_all()
        )


def _start_valkey(
    ground: Ground, undo: contextlib.ExitStack, on_step: Callable[[str], None], wishes: _Wishes
) -> ValkeyServer:
    found = reachable_valkey(find_valkey(os.environ), ground.account, ground.state, on_step)
    valkey = ValkeyServer(
        ground=ground, binary=found.binary, version=store_version(found.version), port=wishes.valkey_port
    )
    valkey.prepare()
    on_step(f"starting {valkey.version}")
    undo.callback(valkey.stop)
    valkey.start()
    return valkey


def _start_postgres(
    ground: Ground, undo: contextlib.ExitStack, on_step: Callable[[str], None], wishes: _Wishes
) -> PostgresServer:
    found = reachable_postgres(find_postgres_bin(os.environ), ground.account, ground.state, on_step)
    postgres = PostgresServer(
        ground=ground,
        bin_dir=found.binary.parent,
        major=postgres_major(found.version),
        max_connections=wishes.max_connections,
        port=wishes.postgres_port,
    )
    postgres.prepare(on_step)
    on_step(f"starting PostgreSQL {postgres.major}")
    undo.callback(postgres.stop)
    postgres.start()
    postgres.ensure_database()
    return postgres
