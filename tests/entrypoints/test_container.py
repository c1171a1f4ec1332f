from __future__ import annotations

import pytest
from dependency_injector import providers

from domain.ports.budget_ledger import BudgetLedger
from domain.ports.call_observer import CallObserver
from domain.ports.key_cache import KeyCache
from domain.ports.limit_store import LimitStore
from domain.ports.registers import KeyRegister
from domain.ports.surroundings import Clock, Entropy, PasswordHash
from domain.ports.turns import Turns
from domain.ports.usage_journal import UsageJournal
from entrypoints.container import Parts
from entrypoints.settings import Settings

ENVIRONMENT = {
    "DATABASE_URL": "postgresql://user:secret-word@db.invalid/name",
    "REDIS_URL": "redis://:secret-word@redis.invalid/0",
    "KEY_PEPPER": "secret-word-that-is-quite-long-enough-for-a-pepper",
    "OLLAMA_BACKENDS": '[{"name":"a","url":"http://a.invalid","token":"secret-word"},{"name":"b","url":"http://b.invalid"}]',
}
PORTS = {
    "clock": Clock,
    "entropy": Entropy,
    "passwords": PasswordHash,
    "ledger": BudgetLedger,
    "observer": CallObserver,
    "limits": LimitStore,
    "turns": Turns,
    "key_cache": KeyCache,
    "register": KeyRegister,
    "journal": UsageJournal,
}


@pytest.fixture
def parts() -> Parts:
    return Parts(settings=providers.Object(Settings.from_environment(ENVIRONMENT)))


async def test_every_part_can_be_made_and_is_made_once(parts: Parts) -> None:
    for name, provider in parts.providers.items():
        assert provider() is provider(), name


async def test_every_port_is_filled_by_one_of_its_own(parts: Parts) -> None:
    for name, port in PORTS.items():
        assert port in type(parts.providers[name]()).__mro__, name


async def test_no_part_shows_a_secret(parts: Parts) -> None:
    shown = " ".join(repr(provider()) for provider in parts.providers.values())

    assert "secret-word" not in shown
