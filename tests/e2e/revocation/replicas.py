"""Three gateways before one pair of stores, on hosts whose clocks differ, and whose notices can be lost."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from enum import Enum
from pathlib import Path

import attrs

from domain.policies import Policy
from entrypoints.embedded import EmbeddedStores
from tests.bench.stage import NEVER_BINDING, make_keys
from tests.e2e.house import House, Key
from tests.e2e.programs import cli, program_environment
from tests.faults.line import FaultyLine

CLOCKS_WRONG_BY_S = (0, 600, -600)
_WRONG_CLOCK = Path(__file__).parent / "wrong_clock"
SIMULATOR = ("--num-parallel", "100", "--token-delay-ms", "5", "--log-tokens-per-line", "0")
ROOM = {
    "BACKEND_MAX_IN_FLIGHT": "100",
    "QUEUE_DEPTH": "256",
    # A shared machine that stalls for a moment must not look like a store that is lost.
    "LIMITER_TIMEOUT_MS": "3000",
    "LEDGER_TIMEOUT_S": "3",
}
WATCH = b"neuronetz-watch"
_NOBODY_IS_TOLD = """
    create or replace function neuronetz.announce(tenant uuid, key uuid, generation bigint, what text) returns void
    language sql as $$ select null::void $$
"""
_ALL_ARE_TOLD = """
    create or replace function neuronetz.announce(tenant uuid, key uuid, generation bigint, what text) returns void
    language sql
    as $$
        select pg_notify('neuronetz_changes',
            json_build_object('tenant', tenant, 'key', key, 'generation', generation, 'what', what)::text)
    $$
"""


class Notices(Enum):
    """What becomes of the notices of changes."""

    ARRIVE = "arrive"
    LOST = "lost"
    """None is sent; the listeners' connections live."""
    UNHEARD = "unheard"
    """They are sent, and every answer to a listener is lost on its way."""


@attrs.frozen(kw_only=True, eq=False)
class Replicas:
    """Everything of one module."""

    house: House
    postgres: FaultyLine
    redis: FaultyLine

    @classmethod
    @contextlib.contextmanager
    def open(cls, stores: EmbeddedStores, folder: Path) -> Iterator[Replicas]:
        """With all of them ready."""
        with contextlib.ExitStack() as ends:
            house = ends.enter_context(House.open(stores, folder, *SIMULATOR, **ROOM))
            replicas = cls(
                house=house,
                postgres=ends.enter_context(FaultyLine(stores.postgres.ground.sockets / ".s.PGSQL.5432")),
                redis=ends.enter_context(FaultyLine(stores.valkey.socket)),
            )
            path = os.pathsep.join([str(_WRONG_CLOCK), program_environment()["PYTHONPATH"]])
            for wrong_by_s in CLOCKS_WRONG_BY_S:
                gateway = house.add_gateway(**replicas.ways, PYTHONPATH=path, CLOCK_WRONG_BY_S=str(wrong_by_s))
                ends.callback(gateway.stop)  # while its lines still lead on
            for gateway in house.gateways:
                gateway.wait_ready()
            yield replicas

    @property
    def ways(self) -> dict[str, str]:
        """The stores' addresses by way of the lines."""
        return {
            "DATABASE_URL": self.postgres.database_url(self.house.database_url),
            "REDIS_URL": self.redis.redis_url(self.house.redis_url),
        }

    @property
    def urls(self) -> Sequence[str]:
        return [gateway.url for gateway in self.house.gateways]

    async def keys(self, count: int, policy: Policy = NEVER_BINDING) -> Sequence[Key]:
        """Keys, each of a tenant of its own."""
        wanted = [(f"t-{time.monotonic_ns()}-{number}", policy) for number in range(count)]
        return await asyncio.to_thread(make_keys, self.house, wanted)

    @contextlib.contextmanager
    def losing(self, notices: Notices) -> Iterator[None]:
        """Loses the notices in this way; afterwards all is well again."""
        if notices is Notices.LOST:
            self.house.rows(_NOBODY_IS_TOLD)
        if notices is Notices.UNHEARD:
            self.postgres.deafen(WATCH)
        try:
            yield
        finally:
            self.house.rows(_ALL_ARE_TOLD)

    async def operator(self, *words: str, over_the_line: bool = False) -> float:
        """Runs one command in a process of its own; returns when it had returned, on the monotonic clock."""
        ways = self.ways if over_the_line else {}
        ran = await asyncio.to_thread(cli, self.house.environ | ways, self.house.folder, *words)
        at_s = time.monotonic()
        assert ran.returncode == 0, ran.stderr
        return at_s
