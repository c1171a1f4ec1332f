"""Valkey (or Redis) as an embedded store.

It listens on a unix socket and no port, keeps an append-only file so that a restart forgets at most the last
second, and never evicts: a rate window that vanished under memory pressure would let a tenant through twice.
"""

from __future__ import annotations

import signal
from pathlib import Path
from typing import ClassVar

import attrs
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from entrypoints.embedded.child import Child, spawn
from entrypoints.embedded.server import Server
from entrypoints.embedded.state_dir import own_dir
from entrypoints.embedded.versions import StoreVersion, check_store

_ASK_PATIENCE_S = 1.0


@attrs.define(kw_only=True)
class ValkeyServer(Server):
    """The embedded Valkey.

    Attributes:
        binary: the server.
        version: product and version, as the binary says.
        port: 0 for its unix socket only, else also this port of 127.0.0.1, without a password.
    """

    title: ClassVar[str] = "Valkey"
    farewells: ClassVar[tuple[tuple[signal.Signals, float], ...]] = ((signal.SIGTERM, 20.0), (signal.SIGKILL, 5.0))

    binary: Path
    version: StoreVersion
    port: int = 0

    def prepare(self) -> None:
        """Checks that this server can read what is there, and records that it writes there from now on.

        Raises:
            VersionError: it would be a downgrade.
            StateDirError: the files are another account's.
        """
        record = self.ground.state.valkey_version
        check_store(record, self.version)
        own_dir(self.ground.state.valkey_dir, self.ground.account)
        unfinished = record.with_suffix(".tmp")
        unfinished.write_text(f"{self.version}\n")
        unfinished.replace(record)

    @property
    def socket(self) -> Path:
        """The unix socket."""
        return self.ground.sockets / "valkey.sock"

    @property
    def url(self) -> str:
        """The URL of the store by its unix socket."""
        return f"unix://{self.socket}"

    def url_at(self, host: str, port: int) -> str:
        """The URL of the store by TCP, say through a proxy before `port`."""
        return f"redis://{host}:{port}/0"

    def _spawn(self) -> Child:
        ground = self.ground
        settings = {
            "--port": str(self.port),
            "--bind": "127.0.0.1",
            "--unixsocket": str(self.socket),
            "--unixsocketperm": "700",
            "--dir": str(ground.state.valkey_dir),
            "--appendonly": "yes",
            "--appendfsync": "everysec" if ground.durable else "no",
            "--save": "",
            "--maxmemory-policy": "noeviction",
            "--daemonize": "no",
        }
        return spawn(
            [str(self.binary), *(word for setting in settings.items() for word in setting)],
            account=ground.account,
            lock_fd=ground.lock_fd,
            log=ground.state.log("valkey"),
            death_signal=signal.SIGTERM,
        )

    def _answers(self) -> bool:
        once = Retry(NoBackoff(), 0)
        try:
            with redis.Redis(unix_socket_path=str(self.socket), socket_timeout=_ASK_PATIENCE_S, retry=once) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False
