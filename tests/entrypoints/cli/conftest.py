"""A command line whose register is in memory, and which reads no file of this machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
import structlog
from click.testing import CliRunner, Result

from adapters.ollama.address import BackendAddress
from application.read_prompts import ReadPrompts
from domain.faults import BackendUnreachable, FaultCode, StoreUnavailable
from domain.models import Model, canonical
from domain.ports.model_backend import Survey
from domain.ports.turns import Turns
from entrypoints.cli.root import cli
from entrypoints.cli.session import Session
from entrypoints.cli.wiring import Inspections
from entrypoints.operator_tools import OperatorTools
from entrypoints.settings import Settings
from tests.entrypoints.cli.open_register import Announcement, OpenRegister
from tests.fakes.audit_reader import MemoryAuditReader
from tests.fakes.audit_seals import MemoryAudit, MemorySealedAudit
from tests.fakes.encryption import FakeEncryption
from tests.fakes.hour_keys import MemoryHourKeys
from tests.fakes.inspection import FakeDatabaseInspection, FakeLimiterInspection
from tests.fakes.surroundings import FakeClock, FakeEntropy, FakePasswords
from tests.fakes.usage_reader import MemoryUsageReader

_SURVEY = Survey(version="0.33.1", models=[Model(name="Llama3.2", canonical=canonical("llama3.2"))])
PEPPER = "pepper-of-the-tests-0123456789abcdef"


@pytest.fixture(autouse=True, scope="module")
def logs_as_they_were() -> Iterator[None]:
    """A command quietens the logs of its process, which here is everybody's."""
    yield
    structlog.reset_defaults()


class Announcements:
    """What was announced; or nothing, when Redis is away."""

    def __init__(self) -> None:
        self.made: list[Announcement] = []
        self.away = False

    async def announce(self, tenant_id: str, generations: Sequence[tuple[str, int]]) -> None:
        if self.away:
            raise StoreUnavailable(FaultCode.LIMITER_UNAVAILABLE, "The rate limiter cannot be reached.")
        self.made.append((tenant_id, tuple(generations)))


@attrs.define(slots=False)
class Desk:
    """A terminal with everything around it in memory."""

    register: OpenRegister = attrs.field(factory=OpenRegister)
    announcements: Announcements = attrs.field(factory=Announcements)
    clock: FakeClock = attrs.field(factory=FakeClock)
    turns: Turns | None = None
    hour_keys: MemoryHourKeys = attrs.field(factory=lambda: MemoryHourKeys(FakeClock().now))
    encryption: FakeEncryption = attrs.field(factory=FakeEncryption)
    databases: FakeDatabaseInspection = attrs.field(factory=FakeDatabaseInspection)
    limiters: FakeLimiterInspection = attrs.field(factory=FakeLimiterInspection)
    environ: dict[str, str] = attrs.field(
        factory=lambda: {"DATABASE_URL": "postgresql://u:dbpassword@db/x", "KEY_PEPPER": PEPPER}
    )
    probed: list[BackendAddress] = attrs.field(factory=list)
    down: bool = False
    store_fault: StoreUnavailable | None = None
    slow_s: float = 0.0
    trouble: str | None = None
    survey: Survey = _SURVEY
    probing: Callable[[BackendAddress], Awaitable[Survey]] | None = None

    def __attrs_post_init__(self) -> None:
        self.audit = MemoryAuditReader(self.register.books)
        self.sealed = MemoryAudit()
        self.usage = MemoryUsageReader(self.register.books)

    @property
    def told(self) -> Sequence[Announcement]:
        """What was announced, with t1 for the first tenant, k2 for the second key."""
        return self.register.in_short(self.announcements.made)

    def __call__(self, *arguments: str, typed: str | None = None) -> Result:
        return CliRunner().invoke(cli, arguments, obj=self.session, input=typed)

    @property
    def session(self) -> Session:
        return Session(
            environ=self.environ,
            open_tools=self._tools,
            probe=self.probing or self._probe,
            database_trouble=lambda _: self.trouble,
            inspections=Inspections(database=lambda _: self.databases, limiter=lambda _: self.limiters),
        )

    @asynccontextmanager
    async def _tools(self, settings: Settings) -> AsyncIterator[OperatorTools]:
        settings.need_database_url()
        if self.store_fault is not None:
            raise self.store_fault
        await asyncio.sleep(self.slow_s)
        yield OperatorTools(
            tenants=self.register,
            announcer=self.announcements,
            passwords=FakePasswords(),
            entropy=FakeEntropy(str(len(self.register.by_prefix))),
            clock=self.clock,
            audit=self.audit,
            sealed_audit=MemorySealedAudit(self.sealed),
            usage=self.usage,
            kept_prompts=self.register.kept,
            read_prompts=self._read_prompts,
            turns=self.turns,
        )

    @asynccontextmanager
    async def _read_prompts(self, actor: str) -> AsyncIterator[ReadPrompts]:
        yield ReadPrompts(kept=self.register.kept, hour_keys=self.hour_keys, encryption=self.encryption, actor=actor)

    async def _probe(self, address: BackendAddress) -> Survey:
        self.probed.append(address)
        if self.down:
            raise BackendUnreachable
        return self.survey


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    return Desk()


@pytest.fixture
def acme(desk: Desk) -> Desk:
    """A desk with the tenant acme and no trace of making it."""
    assert desk("create-tenant", "--name", "acme").exit_code == 0
    return desk
