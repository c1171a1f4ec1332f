"""Changes of tenants: made, audited, announced; and true even when nobody could be told."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import pytest

from application.administer_tenants import AdministerTenants, similar_names
from domain.faults import FaultCode, StoreUnavailable
from domain.limits import Limits
from domain.policies import Policy, TenantState
from domain.ports.registers import Taken, Unknown
from tests.entrypoints.cli.open_register import Announcement, OpenRegister


@attrs.define
class Announcements:
    made: list[Announcement] = attrs.field(factory=list)
    away: bool = False

    async def announce(self, tenant_id: str, generations: Sequence[tuple[str, int]]) -> None:
        if self.away:
            raise StoreUnavailable(FaultCode.LIMITER_UNAVAILABLE, "The rate limiter cannot be reached.")
        self.made.append((tenant_id, tuple(generations)))


@attrs.define
class Office:
    register: OpenRegister = attrs.field(factory=OpenRegister)
    announcements: Announcements = attrs.field(factory=Announcements)

    @property
    def told(self) -> Sequence[Announcement]:
        return self.register.in_short(self.announcements.made)

    @property
    def tenants(self) -> AdministerTenants:
        return AdministerTenants(register=self.register, announcer=self.announcements, actor="cli:test")


@pytest.fixture
def office() -> Office:
    return Office()


async def test_a_new_tenant_is_active_and_needs_no_announcement(office: Office) -> None:
    tenant = await office.tenants.create("acme")

    assert tenant.state is TenantState.ACTIVE
    assert office.register.actors == ["cli:test"]
    assert office.announcements.made == []


async def test_a_state_is_announced_with_its_generation(office: Office) -> None:
    await office.tenants.create("acme")

    suspended = await office.tenants.suspend("acme")
    resumed = await office.tenants.resume("acme")

    assert (suspended.now.state, resumed.now.state) == (TenantState.SUSPENDED, TenantState.ACTIVE)
    assert suspended.announced
    assert office.told == [("t1", (("t1", 2),)), ("t1", (("t1", 3),))]


async def test_a_policy_change_sees_the_present_policy(office: Office) -> None:
    await office.tenants.create("acme")
    await office.tenants.change_policy("acme", lambda _: Policy(limits=Limits(rpm=1)))

    changed = await office.tenants.change_policy("acme", lambda policy: attrs.evolve(policy, models=frozenset()))

    assert changed.now.policy == Policy(limits=Limits(rpm=1), models=frozenset())


async def test_a_change_that_cannot_be_announced_is_made_all_the_same(office: Office) -> None:
    await office.tenants.create("acme")
    office.announcements.away = True

    changed = await office.tenants.suspend("acme")

    assert not changed.announced
    assert office.register.by_name["acme"].state is TenantState.SUSPENDED


async def test_errors_of_the_register_pass(office: Office) -> None:
    await office.tenants.create("acme")

    with pytest.raises(Taken):
        await office.tenants.create("acme")
    with pytest.raises(Unknown):
        await office.tenants.suspend("nobody")


async def test_similar_names_are_found_whatever_their_case(office: Office) -> None:
    for name in ("Acme", "acme-test", "zebra"):
        await office.tenants.create(name)

    assert (await similar_names(office.register, "ACME") or ())[0] == "Acme"
    assert "acme-test" in (await similar_names(office.register, "acmetest") or ())
    assert await similar_names(office.register, "xyz") == []
    assert await similar_names(office.register, "zebra") is None
