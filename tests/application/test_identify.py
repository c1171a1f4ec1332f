"""Room 2: strangers cost nothing, a key costs one slow hash, and no copy outlives a change."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from application.rooms import identify as room
from domain.faults import Fault, FaultCode, Overloaded, StoreUnavailable
from domain.keys import Secret, mint
from domain.policies import Caller, Policy, TenantState
from domain.refusals import Code, Refusal
from tests.application.rig import PEPPER, Client, Rig, a_call, turns_of_the_loop
from tests.builders import to
from tests.fakes.surroundings import FakePasswords


async def identify(rig: Rig, credential: Secret | None, *, fresh: bool = False) -> Caller:
    return await rig.identify(rig.present(credential, a_call()), fresh=fresh)


async def refusal_of(rig: Rig, credential: Secret | None) -> Code:
    with pytest.raises(Refusal) as refused:
        await identify(rig, credential)
    return refused.value.code


def _with_two_characters_swapped(client: Client) -> Secret:
    text = client.secret.unwrap()
    return Secret(text[:-2] + text[-1] + text[-2] + "x" * (text[-1] == text[-2]))


async def test_a_key_makes_its_caller() -> None:
    rig = await Rig.of()
    client = await rig.client()

    caller = await identify(rig, client.secret)

    assert (caller.tenant_name, caller.key_id) == ("acme", client.key.id)


async def test_strangers_reach_neither_register_nor_cache_nor_hash() -> None:
    rig = await Rig.of()
    client = await rig.client()
    foreign = mint("a" * 8, "b" * 32, b"another pepper").secret
    text = client.secret.unwrap()
    credentials = [
        "", "nz_", "sk-123", text[:-1], text + "0", f" {text}", text.swapcase(), f"Bearer {text}",
        text.replace(text[-1], "\u0660"), foreign.unwrap(), "x" * 100_000,
    ]  # fmt: skip

    for credential in credentials:
        assert await refusal_of(rig, Secret(credential)) is Code.INVALID_API_KEY
    assert await refusal_of(rig, _with_two_characters_swapped(client)) is Code.INVALID_API_KEY
    assert await refusal_of(rig, None) is Code.MISSING_API_KEY

    assert (rig.register.finds, rig.cache.recalls, rig.passwords.runs) == (0, 0, 0)


async def test_an_unknown_prefix_and_a_wrong_secret_get_the_same_answer() -> None:
    rig = await Rig.of()
    client = await rig.client()
    unknown = mint("z" * 8, "b" * 32, PEPPER).secret
    wrong = mint(client.key.prefix.removeprefix("nz_"), "b" * 32, PEPPER).secret

    with pytest.raises(Refusal) as first:
        await identify(rig, unknown)
    with pytest.raises(Refusal) as second:
        await identify(rig, wrong)

    assert (first.value.code, first.value.sentence) == (second.value.code, second.value.sentence)


async def test_500_first_uses_of_one_key_cost_one_hash() -> None:
    rig = await Rig.of()
    client = await rig.client()

    callers = await asyncio.gather(*(identify(rig, client.secret) for _ in range(500)))

    assert len(set(map(id, callers))) == 1
    assert (rig.passwords.runs, rig.register.finds, rig.cache.recalls) == (1, 1, 1)


async def test_500_uses_of_a_bad_key_cost_one_hash_and_all_are_refused() -> None:
    rig = await Rig.of()
    client = await rig.client()
    wrong = mint(client.key.prefix.removeprefix("nz_"), "b" * 32, PEPPER).secret

    ends = await asyncio.gather(*(identify(rig, wrong) for _ in range(500)), return_exceptions=True)

    assert all(isinstance(end, Refusal) for end in ends)
    assert rig.passwords.runs == 1


async def test_a_waiter_that_leaves_does_not_fail_the_others() -> None:
    rig = await Rig.of()
    client = await rig.client()
    rig.register.finding.shut()
    first, second = (asyncio.create_task(identify(rig, client.secret)) for _ in range(2))
    await rig.register.finding.reached.wait()

    first.cancel()
    await asyncio.wait([first])
    rig.register.finding.open()

    assert (await second).key_id == client.key.id
    assert first.cancelled()


async def test_when_every_waiter_has_left_the_next_one_finds_the_work_done() -> None:
    rig = await Rig.of()
    client = await rig.client()
    rig.register.finding.shut()
    only = asyncio.create_task(identify(rig, client.secret))
    await rig.register.finding.reached.wait()
    only.cancel()
    await asyncio.wait([only])

    rig.register.finding.open()
    await turns_of_the_loop()

    await identify(rig, client.secret)
    assert rig.register.finds == 1


async def test_a_failure_that_nobody_waits_for_is_no_unheard_error() -> None:
    rig = await Rig.of()
    client = await rig.client()
    rig.register.finding.shut()
    only = asyncio.create_task(identify(rig, client.secret))
    await rig.register.finding.reached.wait()
    only.cancel()
    rig.books.unavailable = True
    rig.register.finding.open()

    await turns_of_the_loop()

    rig.books.unavailable = False
    assert (await identify(rig, client.secret)).key_id == client.key.id


async def test_a_work_that_is_cancelled_is_forgotten() -> None:
    rig = await Rig.of()
    client = await rig.client()
    rig.register.finding.shut()
    only = asyncio.create_task(identify(rig, client.secret))
    await rig.register.finding.reached.wait()

    for work in rig.identify._look_ups._running.values():
        work.cancel()
    await asyncio.wait([only])

    rig.register.finding.open()
    assert (await identify(rig, client.secret)).key_id == client.key.id


async def test_a_process_remembers_for_as_long_as_it_is_told() -> None:
    rig = await Rig.of(remember_s=30)
    client = await rig.client()
    await identify(rig, client.secret)

    rig.clock.advance(29.9)
    await identify(rig, client.secret)
    assert rig.cache.recalls == 1
    rig.clock.advance(0.2)
    await identify(rig, client.secret)

    assert (rig.cache.recalls, rig.register.finds) == (2, 2)


async def test_another_process_finds_the_key_in_the_shared_memory() -> None:
    rig = await Rig.of()
    client = await rig.client()
    await identify(rig, client.secret)
    another = await Rig.of()
    another.cache._remembered = rig.cache._remembered
    another.books = rig.books

    await identify(another, client.secret)

    assert (another.register.finds, another.passwords.runs) == (0, 0)


async def test_a_cache_in_trouble_costs_a_hash_and_no_call() -> None:
    rig = await Rig.of()
    client = await rig.client()
    rig.cache.down = True

    await identify(rig, client.secret)

    assert rig.passwords.runs == 1


@pytest.mark.parametrize("whole_tenant", [True, False])
async def test_what_is_forgotten_is_looked_up_again(whole_tenant: bool) -> None:  # noqa: FBT001
    rig = await Rig.of()
    client, bystander = await rig.client(), await rig.client("other")
    await identify(rig, client.secret)
    await identify(rig, bystander.secret)
    rig.cache.down = True

    rig.identify.forget(client.tenant.id, None if whole_tenant else client.key.id)

    await identify(rig, client.secret)
    await identify(rig, bystander.secret)
    assert rig.register.finds == 3
    assert rig.passwords.runs == 2  # the hash is the same, and the key was found to agree with it


async def test_another_keys_copy_is_kept() -> None:
    rig = await Rig.of()
    client = await rig.client()
    await identify(rig, client.secret)

    rig.identify.forget(client.tenant.id, "another key")

    await identify(rig, client.secret)
    assert rig.register.finds == 1


async def test_a_fresh_look_passes_by_every_copy() -> None:
    rig = await Rig.of()
    client = await rig.client()
    await identify(rig, client.secret)
    await rig.tenants.change_key_policy(client.key.prefix, to(Policy(models=frozenset())), actor="console")

    old = await identify(rig, client.secret)
    new = await identify(rig, client.secret, fresh=True)

    assert (old.key_policy.models, new.key_policy.models) == (None, frozenset())
    assert await identify(rig, client.secret) == new


async def test_a_new_hash_is_verified_anew() -> None:
    rig = await Rig.of()
    client = await rig.client()
    await identify(rig, client.secret)
    rig.books.keys[client.key.id].secret_hash = "$fake$2$of another secret"

    with pytest.raises(Refusal):
        await identify(rig, client.secret, fresh=True)

    assert rig.passwords.runs == 2


async def test_memory_is_bounded_and_the_oldest_is_dropped() -> None:
    rig = await Rig.of()
    client = await rig.client()
    caller = await identify(rig, client.secret)

    for number in range(room.MOST_REMEMBERED):
        rig.identify._remember(number.to_bytes(32, "big"), caller, None)

    assert len(rig.identify._remembered) == room.MOST_REMEMBERED
    assert client.presented.fingerprint not in rig.identify._remembered


async def test_remembering_again_drops_nobody_else() -> None:
    rig = await Rig.of()
    caller = await identify(rig, (await rig.client()).secret)
    for number in range(room.MOST_REMEMBERED):
        rig.identify._remember(number.to_bytes(32, "big"), caller, None)
    kept = set(rig.identify._remembered)

    rig.identify._remember((5).to_bytes(32, "big"), caller, None)

    assert set(rig.identify._remembered) == kept


async def test_a_weak_hash_is_renewed_at_the_next_use() -> None:
    rig = await Rig.of()
    client = await rig.client()
    rig.books.keys[client.key.id].secret_hash = await FakePasswords(strength=1).hash(client.secret)

    await identify(rig, client.secret)

    assert not rig.passwords.outdated(rig.books.keys[client.key.id].secret_hash)
    assert (await identify(rig, client.secret, fresh=True)).key_id == client.key.id


@pytest.mark.parametrize(
    "fault",
    [
        StoreUnavailable(FaultCode.IDENTITY_UNAVAILABLE, "no"),
        Overloaded(FaultCode.OVERLOADED, "the pool of threads is full"),
    ],
)
async def test_a_weak_hash_that_cannot_be_renewed_is_good_all_the_same(fault: Fault) -> None:
    rig = await Rig.of()
    client = await rig.client()
    weak = await FakePasswords(strength=1).hash(client.secret)
    rig.books.keys[client.key.id].secret_hash = weak
    rig.register.rehash_fault = fault

    assert (await identify(rig, client.secret)).key_id == client.key.id

    assert rig.books.keys[client.key.id].secret_hash == weak


async def test_what_cannot_be_known_is_no_401() -> None:
    rig = await Rig.of()
    client = await rig.client()
    rig.books.unavailable = True

    with pytest.raises(StoreUnavailable) as closed:
        await identify(rig, client.secret)

    assert closed.value.code is FaultCode.IDENTITY_UNAVAILABLE


async def test_an_expiry_binds_copies_too() -> None:
    rig = await Rig.of(remember_s=3600)
    client = await rig.client(expires_at=rig.clock.now() + timedelta(seconds=5))
    await identify(rig, client.secret)

    rig.clock.advance(5)

    assert await refusal_of(rig, client.secret) is Code.API_KEY_EXPIRED
    assert rig.register.finds == 1


async def test_a_revoked_key_stays_revoked_when_it_has_also_expired() -> None:
    rig = await Rig.of()
    client = await rig.client(expires_at=rig.clock.now())
    await rig.tenants.revoke_key(client.key.prefix, actor="console")

    assert await refusal_of(rig, client.secret) is Code.API_KEY_REVOKED


async def test_a_resumed_tenant_is_served_within_a_second_even_if_no_notice_comes() -> None:
    rig = await Rig.of()
    client = await rig.client()
    await rig.tenants.set_tenant_state("acme", TenantState.SUSPENDED, actor="console")
    assert await refusal_of(rig, client.secret) is Code.TENANT_SUSPENDED
    await rig.tenants.set_tenant_state("acme", TenantState.ACTIVE, actor="console")

    rig.clock.advance(1.1)

    assert (await identify(rig, client.secret)).key_id == client.key.id


async def test_a_loop_of_a_revoked_key_is_answered_from_memory() -> None:
    rig = await Rig.of()
    client = await rig.client()
    await rig.tenants.revoke_key(client.key.prefix, actor="console")

    for _ in range(50):
        assert await refusal_of(rig, client.secret) is Code.API_KEY_REVOKED

    assert (rig.register.finds, rig.passwords.runs) == (1, 1)


@pytest.mark.parametrize("behind_s", [-600, 600])
async def test_a_host_whose_clock_is_wrong_decides_by_the_register(behind_s: int) -> None:
    rig = await Rig.of()
    rig.books.now = lambda: rig.clock.now() + timedelta(seconds=behind_s)
    client = await rig.client(expires_at=rig.books.now() + timedelta(seconds=60))

    for waited_s, good in ((0, True), (59, True), (1, False)):
        rig.clock.advance(waited_s)
        if good:
            assert (await identify(rig, client.secret)).key_id == client.key.id
        else:
            assert await refusal_of(rig, client.secret) is Code.API_KEY_EXPIRED


async def test_what_the_register_calls_expired_is_expired_here_at_once() -> None:
    rig = await Rig.of()
    client = await rig.client(expires_at=rig.clock.now() + timedelta(seconds=60))
    await identify(rig, client.secret)
    rig.books.now = lambda: rig.clock.now() + timedelta(seconds=60)

    with pytest.raises(Refusal) as refused:
        await identify(rig, client.secret, fresh=True)

    assert refused.value.code is Code.API_KEY_EXPIRED
