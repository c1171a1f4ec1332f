"""A gateway whose ways to its stores and to its backend all lead over lines that can fail."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs
import pytest

from domain.budgets import Budgets
from domain.limits import Limits
from domain.policies import Policy
from entrypoints.embedded import EmbeddedError, EmbeddedStores, start_stores
from tests.e2e.house import House, Key
from tests.e2e.programs import Gateway
from tests.faults.line import FaultyLine

POSTGRES_SOCKET = ".s.PGSQL.5432"
TOKEN_DELAY_MS = 20
SIMULATOR = (
    "--num-parallel", "100", "--tokens", "1000", "--token-delay-ms", str(TOKEN_DELAY_MS), "--log-tokens-per-line", "0",
)  # fmt: skip
ROOM = {"BACKEND_MAX_IN_FLIGHT": "100", "PROCESS_BEAT_S": "1", "PROCESS_DEAD_AFTER_S": "60"}
DEFAULTS: Mapping[str, str] = {}
PATIENT = {"LIMITER_TIMEOUT_MS": "1000"}
"""For outages of PostgreSQL: a busy machine must not look like an outage of Redis."""
NEVER_BINDING = Policy(
    limits=Limits(rpm=100_000, tpm=1_000_000_000, concurrency=1_000), budgets=Budgets(total=1_000_000_000)
)


@contextlib.contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that the servers' own account can pass."""
    with tempfile.TemporaryDirectory(prefix="nz-outage-", ignore_cleanup_errors=True) as root:
        Path(root).chmod(0o755)
        yield Path(root)


def start_breakable(folder: Path, *, valkey_port: int = 0) -> EmbeddedStores:
    """Stores of a test's own. Where none can be started it is skipped, under CI failed."""
    try:
        return start_stores(folder / "state", durable=False, valkey_port=valkey_port)
    except EmbeddedError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"the stores cannot be started here: {error}")


@attrs.frozen(kw_only=True, eq=False)
class Site:
    """Everything of one outage."""

    folder: Path
    stores: EmbeddedStores
    house: House
    redis: FaultyLine
    postgres: FaultyLine
    backend: FaultyLine
    key: Key

    @classmethod
    @contextlib.contextmanager
    def open(cls, settings: Mapping[str, str] = DEFAULTS, *, valkey_port: int = 0) -> Iterator[Site]:
        """With one gateway that is ready, with such settings; Valkey also at a port, where replicas find it."""
        with contextlib.ExitStack() as ends:
            folder = ends.enter_context(open_folder())
            stores = ends.enter_context(start_breakable(folder, valkey_port=valkey_port))
            yield ends.enter_context(cls.over(stores, folder, settings))

    @classmethod
    @contextlib.contextmanager
    def over(cls, stores: EmbeddedStores, folder: Path, settings: Mapping[str, str] = DEFAULTS) -> Iterator[Site]:
        """The same, over stores that are there already."""
        with contextlib.ExitStack() as ends:
            house = ends.enter_context(House.open(stores, folder, *SIMULATOR, **ROOM))
            site = cls(
                folder=folder,
                stores=stores,
                house=house,
                redis=ends.enter_context(FaultyLine(stores.valkey.socket)),
                postgres=ends.enter_context(FaultyLine(stores.postgres.ground.sockets / POSTGRES_SOCKET)),
                backend=ends.enter_context(FaultyLine(("127.0.0.1", int(house.simulator.url.rpartition(":")[2])))),
                key=house.new_key(tenant_policy=NEVER_BINDING),
            )
            ends.callback(site.add_gateway(settings).kill)  # before its lines go: it need not say farewell over them
            yield site

    def add_gateway(self, settings: Mapping[str, str] = DEFAULTS) -> Gateway:
        """A gateway that reaches everything over the lines, once it is ready."""
        ways = {
            "DATABASE_URL": self.postgres.database_url(self.house.database_url),
            "REDIS_URL": self.redis.redis_url(self.house.redis_url),
            "OLLAMA_BASE_URL": self.backend.http_url(),
        }
        gateway = self.house.add_gateway(**ways, **settings)
        gateway.wait_ready()
        return gateway
