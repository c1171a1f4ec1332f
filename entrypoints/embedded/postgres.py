"""PostgreSQL as an embedded store.

A first start makes the database files beside their place and renames them into it: `pgdata` is therefore
complete whenever it exists, and an interrupted first start heals itself. The one account, `app`, has a random
password that never appears in a command line, an error or a repr.

PostgreSQL is started directly. pg_ctl would put it in the background, where nothing ties it to us. SIGINT is
its fast shutdown, SIGQUIT its immediate one (recovered from the log at the next start). SIGKILL is never
sent to end it: shared memory and backends would stay behind.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

import attrs
import psycopg

from entrypoints.embedded.child import Child, run_tool, spawn
from entrypoints.embedded.errors import ServerFailedError, StateDirError
from entrypoints.embedded.server import Server
from entrypoints.embedded.state_dir import own_dir
from entrypoints.embedded.versions import check_postgres

ACCOUNT = "app"
DATABASE = "neuronetz"
_SOCKET_PORT = 5432  # only part of the socket's file name
_INITDB_PATIENCE_S = 180.0
_BUILTIN_LOCALE_SINCE = 17
_ASK_PATIENCE_S = 2
_REFUSED_LOGIN = "authentication failed"  # in the locale that we give it; no code comes with it
# Not synchronous_commit=off: a killed server would then forget rows it had acknowledged, which fault tests must
# be able to rely on, and without fsync it gains only 3 to 8 % (measured).
_FAST_BUT_UNSAFE = ("fsync=off", "full_page_writes=off")


@attrs.define(kw_only=True)
class PostgresServer(Server):
    """The embedded PostgreSQL.

    Attributes:
        bin_dir: where its programs are.
        major: its major version.
        max_connections: how many clients it admits.
        port: 0 for its unix socket only, else also this port of 127.0.0.1.
    """

    title: ClassVar[str] = "PostgreSQL"
    farewells: ClassVar[tuple[tuple[signal.Signals, float], ...]] = ((signal.SIGINT, 20.0), (signal.SIGQUIT, 10.0))

    bin_dir: Path
    major: int
    max_connections: int = 100
    port: int = 0
    _password: str = attrs.field(default="", init=False, repr=False)

    def prepare(self, on_step: Callable[[str], None]) -> None:
        """Checks what is there, and makes the database files if there are none.

        Raises:
            VersionError: the files are another major version's.
            StateDirError: the files are there, but somebody else's or without their password.
            ServerFailedError: initdb failed.
        """
        cluster = self.ground.state.cluster
        fresh = not cluster.exists()
        if not fresh:
            own_dir(cluster, self.ground.account)
        check_postgres(cluster, self.major)
        self._password = self._known_password(fresh=fresh)
        if fresh:
            on_step("making a new database")
            self._initialise()

    @property
    def url(self) -> str:
        """The URL of our database by its unix socket; holds the password."""
        port = f"&port={self.port}" if self.port else ""
        return f"postgresql://{ACCOUNT}:{self._password}@/{DATABASE}?host={quote(str(self.ground.sockets))}{port}"

    def url_at(self, host: str, port: int) -> str:
        """The URL of our database by TCP, say through a proxy before `port`; holds the password."""
        return f"postgresql://{ACCOUNT}:{self._password}@{host}:{port}/{DATABASE}"

    def ensure_database(self) -> None:
        """Creates our database if it is not there.

        Raises:
            ServerFailedError: PostgreSQL would not.
        """
        try:
            with self._connect() as connection:
                known = connection.execute("select 1 from pg_database where datname = %s", (DATABASE,)).fetchone()
                if known is None:
                    connection.execute(f"create database {DATABASE}")
        except psycopg.Error as error:
            raise ServerFailedError(
                f"The database {DATABASE} cannot be created: {str(error).strip()}.",
                f"See {self.ground.state.log('postgres')}.",
            ) from None  # see _answers

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(
            host=str(self.ground.sockets),
            port=self.port or _SOCKET_PORT,
            user=ACCOUNT,
            password=self._password,
            dbname="postgres",
            connect_timeout=_ASK_PATIENCE_S,
            autocommit=True,
        )

    def _answers(self) -> bool:
        try:
            self._connect().close()
        except psycopg.OperationalError as error:
            if _REFUSED_LOGIN not in str(error):
                return False
            raise StateDirError(
                f"PostgreSQL does not accept the password in {self.ground.state.password}.",
                "Put the right one back, or remove the state directory to begin anew.",
            ) from None  # the library's error carries the connection's parameters, password included
        return True

    def _spawn(self) -> Child:
        ground = self.ground
        self._forget_stranger()
        settings = [
            f"listen_addresses={'127.0.0.1' if self.port else ''}",
            f"port={self.port or _SOCKET_PORT}",
            "unix_socket_permissions=0700",
            "shared_buffers=64MB",  # containers often have no more than 64 MB of shared memory
            f"max_connections={self.max_connections}",
            *(() if ground.durable else _FAST_BUT_UNSAFE),
        ]
        argv = [str(self.bin_dir / "postgres"), "-D", str(ground.state.cluster), "-k", str(ground.sockets)]
        argv += [word for setting in settings for word in ("-c", setting)]
        return spawn(
            argv,
            account=ground.account,
            lock_fd=ground.lock_fd,
            log=ground.state.log("postgres"),
            death_signal=signal.SIGINT,
        )

    def _forget_stranger(self) -> None:
        """Removes a stale pid file whose pid now belongs to some other program.

        In a restarted container the same few pids come round again, and PostgreSQL would take a stranger for
        itself and refuse to start. We hold the lock that every server of ours inherits, so none is running.
        """
        pid_file = self.ground.state.cluster / "postmaster.pid"
        try:
            pid = int(pid_file.read_text().split()[0])
            command = Path(f"/proc/{pid}/comm").read_text().strip()
        except (OSError, ValueError, IndexError):
            return
        if command != "postgres":
            pid_file.unlink()

    def _known_password(self, *, fresh: bool) -> str:
        place = self.ground.state.password
        if not place.exists() and not fresh:
            raise StateDirError(
                f"{place} is missing, and {self.ground.state.cluster} cannot be opened without it.",
                "Put it back, or remove the state directory to begin anew.",
            )
        if not place.exists():
            self._write_password(place)
        return place.read_text().strip()

    def _write_password(self, place: Path) -> None:
        unfinished = place.with_suffix(".tmp")
        unfinished.unlink(missing_ok=True)
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
            os.fsync(file.fileno())
        self.ground.account.adopt(unfinished)
        unfinished.replace(place)

    def _initialise(self) -> None:
        ground = self.ground
        unfinished = ground.state.cluster.with_suffix(".tmp")
        if unfinished.exists():
            shutil.rmtree(unfinished)
        own_dir(unfinished, ground.account)
        ran = run_tool(
            [str(self.bin_dir / "initdb"), "-D", str(unfinished), *self._initdb_options()],
            account=ground.account,
            patience_s=_INITDB_PATIENCE_S,
            lock_fd=ground.lock_fd,
        )
        if ran.returncode != 0:
            raise ServerFailedError(f"initdb failed (exit status {ran.returncode}).", f"It said:\n{ran.stdout.strip()}")
        unfinished.rename(ground.state.cluster)
        _make_lasting(ground.state.root)

    def _initdb_options(self) -> list[str]:
        locale = ["--locale=C.UTF-8"]
        if self.major >= _BUILTIN_LOCALE_SINCE:
            locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        options = ["-U", ACCOUNT, "-A", "scram-sha-256", f"--pwfile={self.ground.state.password}", "-E", "UTF8"]
        return options + locale + ([] if self.ground.durable else ["--no-sync"])


def _make_lasting(directory: Path) -> None:
    """Has the names in `directory` survive a power cut."""
    directory_fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(directory_fd)
    finally:
        os.close(directory_fd)
