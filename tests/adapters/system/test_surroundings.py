"""The real surroundings and their fakes pass the same contracts; then what only the real ones can show."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from passlib.hash import argon2

from adapters.system import argon2id
from adapters.system.clock import SystemClock
from adapters.system.entropy import SystemEntropy
from adapters.system.passwords import Argon2Passwords
from domain.faults import FaultCode, Overloaded
from domain.keys import Secret
from domain.ports.surroundings import Clock, Entropy, PasswordHash
from tests.contracts.surroundings import ClockContract, EntropyContract, PasswordHashContract, PasswordsOf
from tests.fakes.surroundings import FakeClock, FakeEntropy, FakePasswords


@pytest.fixture(params=["fake", "system"])
def clock(request: pytest.FixtureRequest) -> Clock:
    return FakeClock() if request.param == "fake" else SystemClock()


@pytest.fixture(params=["fake", "system"])
def entropy(request: pytest.FixtureRequest) -> Entropy:
    return FakeEntropy() if request.param == "fake" else SystemEntropy()


@pytest.fixture(params=["fake", "argon2"])
async def passwords_of(request: pytest.FixtureRequest) -> AsyncIterator[PasswordsOf]:
    made: list[Argon2Passwords] = []

    def make(places: int) -> PasswordHash:
        if request.param == "fake":
            return FakePasswords(places=places)
        made.append(Argon2Passwords(workers=1, queue=places - 1))
        return made[-1]

    yield make
    for passwords in made:
        await passwords.aclose()


class TestClock(ClockContract):
    pass


class TestEntropy(EntropyContract):
    pass


class TestPasswordHash(PasswordHashContract):
    pass


def test_the_system_clock_is_near_the_hosts() -> None:
    assert abs((SystemClock().now() - datetime.now(UTC)).total_seconds()) < 5


async def test_hashes_are_argon2id_with_owasps_parameters() -> None:
    passwords = Argon2Passwords(workers=1)

    stored = await passwords.hash(Secret("nz_any"))

    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    await passwords.aclose()


@pytest.mark.parametrize(
    ("head", "weaker"),
    [
        ("$argon2id$v=19$m=8192,t=2,p=1$", True),
        ("$argon2id$v=19$m=19456,t=1,p=1$", True),
        ("$argon2i$v=19$m=19456,t=2,p=1$", True),
        ("$argon2id$v=16$m=19456,t=2,p=1$", True),
        ("$argon2id$v=19$m=19456,t=2,p=1$", False),
        ("$argon2id$v=19$m=65536,t=3,p=4$", False),
    ],
)
def test_only_weaker_hashes_are_outdated(head: str, weaker: bool) -> None:  # noqa: FBT001 - a table's column
    stored = head + "c29tZXNhbHRzb21lc2FsdA$" + "A" * 43

    assert argon2id.is_weaker(stored) is weaker


@pytest.mark.parametrize("cost", [{"memory_cost": 131_080}, {"time_cost": 9}, {"parallelism": 9}], ids=str)
def test_a_hash_that_costs_too_much_to_check_matches_nothing(cost: dict[str, int]) -> None:
    cheap = {"memory_cost": 128, "time_cost": 1, "parallelism": 1}
    affordable, expensive = argon2.using(type="ID", **cheap), argon2.using(type="ID", **(cheap | cost))

    assert argon2id.matches("nz_any", affordable.hash("nz_any"))
    assert not argon2id.matches("nz_any", expensive.hash("nz_any"))


async def test_who_leaves_does_not_free_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a loop of connect-and-leave queues work without end."""
    gate = threading.Event()
    monkeypatch.setattr(argon2id, "matches", lambda _text, _stored: gate.wait(10))
    passwords = Argon2Passwords(workers=1, queue=1)
    waiting = [asyncio.create_task(passwords.verify(Secret("a"), "")) for _ in range(2)]
    await asyncio.sleep(0)

    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)

    with pytest.raises(Overloaded):
        await passwords.verify(Secret("a"), "")
    gate.set()
    await passwords.aclose()


async def test_after_closing_nothing_is_taken() -> None:
    passwords = Argon2Passwords(workers=1)
    await passwords.aclose()

    with pytest.raises(Overloaded) as refused:
        await passwords.hash(Secret("a"))

    assert refused.value.code is FaultCode.SHUTTING_DOWN
