"""Keys: minted, hashed, stored, announced; and never stored themselves."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import attrs
import pytest

from application.administer_keys import AdministerKeys, AlreadyPast, NotGood, key_of
from domain.budgets import Budgets
from domain.keys import read_key
from domain.policies import Policy
from domain.ports.registers import Taken, Unknown
from tests.application.test_administer_tenants import Announcements
from tests.builders import to
from tests.entrypoints.cli.open_register import Announcement, OpenRegister
from tests.fakes.surroundings import FakeClock, FakeEntropy, FakePasswords

PEPPER = b"pepper-of-the-tests-0123456789abcdef"


@attrs.define
class Office:
    register: OpenRegister = attrs.field(factory=OpenRegister)
    announcements: Announcements = attrs.field(factory=Announcements)
    passwords: FakePasswords = attrs.field(factory=FakePasswords)
    entropy: FakeEntropy = attrs.field(factory=FakeEntropy)
    clock: FakeClock = attrs.field(factory=FakeClock)

    @property
    def told(self) -> Sequence[Announcement]:
        return self.register.in_short(self.announcements.made)

    @property
    def keys(self) -> AdministerKeys:
        return AdministerKeys(
            register=self.register,
            announcer=self.announcements,
            passwords=self.passwords,
            entropy=self.entropy,
            clock=self.clock,
            actor="cli:test",
        )


@pytest.fixture
async def office() -> Office:
    office = Office()
    await office.register.add_tenant("acme", actor="cli:test")
    return office


async def test_a_new_key_passes_the_check_and_its_hash_verifies(office: Office) -> None:
    made = await office.keys.create("acme", name="ci", expires_at=None, pepper=PEPPER)

    presented = read_key(made.text.unwrap(), [PEPPER])
    assert presented is not None
    assert presented.prefix == made.key.prefix
    assert await office.passwords.verify(made.text, office.register.hashes[made.key.prefix])
    assert office.told == [("t1", (("k1", 1),))]


async def test_the_text_of_a_key_is_in_no_repr_and_not_in_the_register(office: Office) -> None:
    made = await office.keys.create("acme", name="ci", expires_at=None, pepper=PEPPER)

    assert made.text.unwrap() not in repr(made) + repr(office.register.books)


async def test_an_expiry_lies_ahead(office: Office) -> None:
    now = office.clock.now()

    with pytest.raises(AlreadyPast):
        await office.keys.create("acme", name="ci", expires_at=now, pepper=PEPPER)
    made = await office.keys.create("acme", name="ci", expires_at=now + timedelta(seconds=1), pepper=PEPPER)

    assert made.key.expires_at == now + timedelta(seconds=1)


async def test_an_unknown_tenant_costs_no_hash(office: Office) -> None:
    with pytest.raises(Unknown):
        await office.keys.create("nobody", name="ci", expires_at=None, pepper=PEPPER)

    assert office.passwords.runs == 0


async def test_a_name_is_free_again_after_revocation(office: Office) -> None:
    made = await office.keys.create("acme", name="ci", expires_at=None, pepper=PEPPER)
    with pytest.raises(Taken):
        await office.keys.create("acme", name="ci", expires_at=None, pepper=PEPPER)

    await office.keys.revoke(made.key.prefix)

    assert (await office.keys.create("acme", name="ci", expires_at=None, pepper=PEPPER)).key.revoked_at is None


async def test_rotation_keeps_the_policy_and_announces_both_keys(office: Office) -> None:
    old = await office.keys.create("acme", name="ci", expires_at=None, pepper=PEPPER)
    await office.keys.change_policy(old.key.prefix, lambda _: Policy(budgets=Budgets(daily=9)))

    new = await office.keys.rotate(old.key.prefix, pepper=PEPPER)

    assert new.text != old.text
    assert (new.key.name, new.key.policy) == ("ci", Policy(budgets=Budgets(daily=9)))
    former = await office.register.key(old.key.prefix)
    assert former.revoked_at is not None
    assert office.told[-1] == ("t1", (("k2", 1), ("k1", former.generation)))


async def test_a_revoked_key_is_neither_rotated_nor_changed(office: Office) -> None:
    made = await office.keys.create("acme", name="ci", expires_at=None, pepper=PEPPER)
    await office.keys.revoke(made.key.prefix)

    with pytest.raises(NotGood):
        await office.keys.rotate(made.key.prefix, pepper=PEPPER)
    with pytest.raises(NotGood):
        await office.keys.change_policy(made.key.prefix, lambda policy: policy)


async def test_a_revocation_that_cannot_be_announced_is_made_all_the_same(office: Office) -> None:
    made = await office.keys.create("acme", name="ci", expires_at=None, pepper=PEPPER)
    office.announcements.away = True

    revoked = await office.keys.revoke(made.key.prefix)

    assert revoked.now.revoked_at is not None
    assert not revoked.announced


async def test_values_above_the_tenants_are_named(office: Office) -> None:
    await office.register.change_tenant_policy("acme", to(Policy(budgets=Budgets(daily=5))), actor="cli:test")
    made = await office.keys.create("acme", name="ci", expires_at=None, pepper=PEPPER)

    changed = await office.keys.change_policy(made.key.prefix, lambda _: Policy(budgets=Budgets(daily=9)))

    assert await office.keys.looser_than_tenant(changed.now) == ["daily"]


async def test_a_key_is_looked_up_at_its_own_tenant_only(office: Office) -> None:
    await office.register.add_tenant("other", actor="cli:test")
    made = await office.keys.create("acme", name="ci", expires_at=None, pepper=PEPPER)

    assert await key_of(office.register, made.key.prefix, "acme") == made.key
    with pytest.raises(Unknown, match="the tenant other has no key"):
        await key_of(office.register, made.key.prefix, "other")
