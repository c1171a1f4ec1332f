"""What every register of tenants and keys does. A test module subclasses the contract and gives it a `bench`."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import attrs
import pytest

from domain.budgets import EPOCH, Budgets, Window
from domain.limits import Limits, Scope
from domain.policies import EVERYTHING, MAX_ALIASES, Aliases, Policy, TenantState, TooManyAliases, with_alias
from domain.ports.budget_ledger import BudgetLedger
from domain.ports.registers import ApiKey, KeyRegister, KeyUse, Taken, TenantRegister, Unknown
from domain.settlement import Charge
from tests.builders import to
from tests.contracts.budget_ledger import a_hold, an_end
from tests.stores import DatabaseClock

START = datetime(2027, 3, 10, 12, 0, 0, tzinfo=UTC)
SOME = Policy(
    limits=Limits(rpm=60, tpm=9000, concurrency=2),
    budgets=Budgets(daily=10**12, monthly=10**13, total=10**14),
    models=frozenset({"registry.ollama.ai/library/llama3.2:latest", "registry.ollama.ai/library/qwen3:8b"}),
)


GPT, LLAMA = (f"registry.ollama.ai/library/{name}:latest" for name in ("gpt-4o", "llama3.2"))


@attrs.frozen(kw_only=True)
class RegisterBench:
    """Both registers, a ledger of the same books, their clock, and a look at the audit."""

    keys: KeyRegister
    register: TenantRegister
    ledger: BudgetLedger
    clock: DatabaseClock
    changes: Callable[[str], Awaitable[Sequence[tuple[str, str | None]]]]
    """A tenant id -> (change, actor) of its admin rows, in order."""

    async def a_tenant(self) -> str:
        return (await self.register.add_tenant(f"tenant-{uuid4().hex}", actor="op")).name

    async def a_key(self, tenant_name: str | None = None, *, name: str = "laptop") -> ApiKey:
        return await self.register.add_key(
            tenant_name or await self.a_tenant(),
            name=name,
            prefix=a_prefix(),
            secret_hash="$hash$",
            expires_at=None,
            actor="op",
        )


def a_prefix() -> str:
    return f"nz_{secrets.token_hex(4)}"


class RegisterContract:
    # ---- tenants ----

    async def test_a_new_tenant_is_active_and_has_no_limits(self, bench: RegisterBench) -> None:
        name = f"Ärzte & Co {uuid4()}"

        tenant = await bench.register.add_tenant(name, actor="op")

        assert (tenant.name, tenant.state, tenant.policy, tenant.generation, tenant.key_count) == (
            name,
            TenantState.ACTIVE,
            EVERYTHING,
            1,
            0,
        )
        assert await bench.register.tenant(name) == tenant
        assert await bench.changes(tenant.id) == [("add_tenant", "op")]

    async def test_a_tenant_name_is_taken_once(self, bench: RegisterBench) -> None:
        name = await bench.a_tenant()

        with pytest.raises(Taken, match=name):
            await bench.register.add_tenant(name, actor="op")

    async def test_of_many_who_add_one_name_one_wins(self, bench: RegisterBench) -> None:
        name = f"tenant-{uuid4().hex}"

        made = await asyncio.gather(
            *(bench.register.add_tenant(name, actor="op") for _ in range(4)), return_exceptions=True
        )

        assert sum(not isinstance(one, BaseException) for one in made) == 1
        assert sum(isinstance(one, Taken) for one in made) == 3

    async def test_tenants_come_by_name(self, bench: RegisterBench) -> None:
        for name in ("b", "a", "c"):
            await bench.register.add_tenant(name, actor="op")

        assert [tenant.name for tenant in await bench.register.tenants()] == ["a", "b", "c"]

    async def test_an_empty_register_has_no_tenants(self, bench: RegisterBench) -> None:
        assert list(await bench.register.tenants()) == []

    async def test_an_unknown_tenant_is_named(self, bench: RegisterBench) -> None:
        with pytest.raises(Unknown, match="nobody"):
            await bench.register.tenant("nobody")
        with pytest.raises(Unknown, match="nobody"):
            await bench.register.change_tenant_policy("nobody", to(SOME), actor="op")
        with pytest.raises(Unknown, match="nobody"):
            await bench.register.change_aliases("nobody", dict, actor="op")
        with pytest.raises(Unknown, match="nobody"):
            await bench.register.keys("nobody")

    async def test_of_changes_at_once_none_undoes_another(self, bench: RegisterBench) -> None:
        name = await bench.a_tenant()

        def one_more(policy: Policy) -> Policy:
            return attrs.evolve(policy, limits=attrs.evolve(policy.limits, rpm=(policy.limits.rpm or 0) + 1))

        await asyncio.gather(*(bench.register.change_tenant_policy(name, one_more, actor="op") for _ in range(10)))

        assert (await bench.register.tenant(name)).policy.limits.rpm == 10

    async def test_a_policy_comes_back_whole_and_raises_the_generation(self, bench: RegisterBench) -> None:
        name = await bench.a_tenant()

        changed = await bench.register.change_tenant_policy(name, to(SOME), actor="op")

        assert (changed.policy, changed.generation) == (SOME, 2)
        assert await bench.register.tenant(name) == changed

    async def test_a_policy_can_be_cleared(self, bench: RegisterBench) -> None:
        name = await bench.a_tenant()
        await bench.register.change_tenant_policy(name, to(SOME), actor="op")

        cleared = await bench.register.change_tenant_policy(name, to(EVERYTHING), actor="op")

        assert (cleared.policy, cleared.generation) == (EVERYTHING, 3)

    async def test_an_empty_model_list_is_not_the_same_as_none(self, bench: RegisterBench) -> None:
        name = await bench.a_tenant()

        changed = await bench.register.change_tenant_policy(name, to(Policy(models=frozenset())), actor="op")

        assert changed.policy.models == frozenset()

    async def test_a_change_to_what_already_is_changes_nothing(self, bench: RegisterBench) -> None:
        name = await bench.a_tenant()

        state = await bench.register.set_tenant_state(name, TenantState.ACTIVE, actor="op")
        policy = await bench.register.change_tenant_policy(name, to(EVERYTHING), actor="op")

        assert (state.generation, policy.generation) == (1, 1)
        assert await bench.changes(state.id) == [("add_tenant", "op")]

    async def test_suspending_and_resuming_are_recorded_with_their_actor(self, bench: RegisterBench) -> None:
        name = await bench.a_tenant()

        suspended = await bench.register.set_tenant_state(name, TenantState.SUSPENDED, actor="anna")
        resumed = await bench.register.set_tenant_state(name, TenantState.ACTIVE, actor="ben")

        assert (suspended.state, suspended.generation) == (TenantState.SUSPENDED, 2)
        assert (resumed.state, resumed.generation) == (TenantState.ACTIVE, 3)
        assert (await bench.changes(resumed.id))[1:] == [("set_tenant_state", "anna"), ("set_tenant_state", "ben")]

    # ---- aliases ----

    async def test_aliases_are_set_and_taken_away_and_recorded(self, bench: RegisterBench) -> None:
        name = await bench.a_tenant()

        made = await bench.register.change_aliases(name, lambda _: {GPT: LLAMA}, actor="anna")
        same = await bench.register.change_aliases(name, lambda _: {GPT: LLAMA}, actor="op")
        gone = await bench.register.change_aliases(name, lambda _: {}, actor="ben")

        assert (made.aliases, made.generation) == ({GPT: LLAMA}, 2)
        assert same == made
        assert (gone.aliases, gone.generation) == ({}, 3)
        assert (await bench.changes(made.id))[1:] == [("set_aliases", "anna"), ("set_aliases", "ben")]

    async def test_the_aliases_of_its_tenant_are_found_with_a_key(self, bench: RegisterBench) -> None:
        key, stranger = await bench.a_key(), await bench.a_key()
        await bench.register.change_aliases(key.tenant_name, lambda _: {GPT: LLAMA}, actor="op")
        await bench.register.change_tenant_policy(key.tenant_name, to(SOME), actor="op")

        known, other = await bench.keys.find(key.prefix), await bench.keys.find(stranger.prefix)

        assert known is not None
        assert other is not None
        assert (known.caller.aliases, known.caller.tenant_generation) == ({GPT: LLAMA}, 3)
        assert other.caller.aliases == {}

    async def test_a_full_set_of_aliases_is_kept_and_one_more_changes_nothing(self, bench: RegisterBench) -> None:
        name = await bench.a_tenant()
        full = {f"registry.ollama.ai/library/a{nth}:latest": LLAMA for nth in range(MAX_ALIASES)}
        kept = await bench.register.change_aliases(name, lambda _: full, actor="op")

        with pytest.raises(TooManyAliases):
            await bench.register.change_aliases(name, lambda before: with_alias(before, GPT, LLAMA), actor="op")

        assert await bench.register.tenant(name) == kept
        assert kept.aliases == full

    async def test_of_aliases_set_at_once_none_is_lost(self, bench: RegisterBench) -> None:
        name = await bench.a_tenant()

        async def one_more(nth: int) -> None:
            def change(before: Aliases) -> Aliases:
                return with_alias(before, f"registry.ollama.ai/library/a{nth}:latest", LLAMA)

            await bench.register.change_aliases(name, change, actor="op")

        await asyncio.gather(*map(one_more, range(10)))

        assert len((await bench.register.tenant(name)).aliases) == 10

    # ---- keys ----

    async def test_a_new_key_is_found_with_its_caller_and_its_hash(self, bench: RegisterBench) -> None:
        name = await bench.a_tenant()
        await bench.register.change_tenant_policy(name, to(SOME), actor="op")
        await bench.clock.set(START)
        key = await bench.a_key(name)

        known = await bench.keys.find(key.prefix)

        assert known is not None
        assert (known.secret_hash, known.as_of) == ("$hash$", START)
        caller = known.caller
        assert (caller.tenant_id, caller.tenant_name, caller.key_id) == (key.tenant_id, name, key.id)
        assert (caller.key_prefix, caller.key_name, caller.revoked_at) == (key.prefix, "laptop", None)
        assert (caller.tenant_policy, caller.key_policy) == (SOME, EVERYTHING)
        assert (caller.tenant_generation, caller.key_generation) == (2, 1)

    async def test_an_unknown_prefix_finds_nothing(self, bench: RegisterBench) -> None:
        assert await bench.keys.find(a_prefix()) is None
        with pytest.raises(Unknown):
            await bench.register.key("nz_unknown0")
        with pytest.raises(Unknown):
            await bench.register.revoke_key("nz_unknown0", actor="op")

    async def test_a_hash_is_replaced_without_a_new_generation(self, bench: RegisterBench) -> None:
        key = await bench.a_key()

        await bench.keys.rehash(key.id, "$better$")

        known = await bench.keys.find(key.prefix)
        assert known is not None
        assert (known.secret_hash, known.caller.key_generation) == ("$better$", 1)

    async def test_a_hash_is_not_in_any_text(self, bench: RegisterBench) -> None:
        key = await bench.a_key()

        assert "$hash$" not in repr(await bench.keys.find(key.prefix)) + repr(key)

    async def test_a_key_needs_its_tenant(self, bench: RegisterBench) -> None:
        with pytest.raises(Unknown, match="nobody"):
            await bench.a_key("nobody")

    async def test_two_live_keys_of_a_tenant_cannot_share_a_name(self, bench: RegisterBench) -> None:
        key = await bench.a_key()

        with pytest.raises(Taken, match="laptop"):
            await bench.a_key(key.tenant_name)

    async def test_another_tenant_may_use_the_same_key_name(self, bench: RegisterBench) -> None:
        key, other = await bench.a_key(), await bench.a_key()

        assert key.name == other.name
        assert key.tenant_id != other.tenant_id

    async def test_the_name_of_a_revoked_key_is_free(self, bench: RegisterBench) -> None:
        key = await bench.a_key()
        await bench.register.revoke_key(key.prefix, actor="op")

        again = await bench.a_key(key.tenant_name)

        assert again.name == key.name

    async def test_a_prefix_is_taken_once(self, bench: RegisterBench) -> None:
        key = await bench.a_key()

        with pytest.raises(Taken, match=key.prefix):
            await bench.register.add_key(
                await bench.a_tenant(),
                name="other",
                prefix=key.prefix,
                secret_hash="$hash$",
                expires_at=None,
                actor="op",
            )

    async def test_a_refused_change_leaves_nothing_behind(self, bench: RegisterBench) -> None:
        key = await bench.a_key()
        before = await bench.changes(key.tenant_id)

        with pytest.raises(Taken):
            await bench.a_key(key.tenant_name)
        with pytest.raises(Taken):
            await bench.register.replace_key(key.prefix, new_prefix=key.prefix, secret_hash="x", actor="op")

        assert await bench.changes(key.tenant_id) == before
        assert await bench.register.key(key.prefix) == key

    async def test_an_expiry_comes_back_to_the_microsecond(self, bench: RegisterBench) -> None:
        instant = datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)

        key = await bench.register.add_key(
            await bench.a_tenant(), name="k", prefix=a_prefix(), secret_hash="x", expires_at=instant, actor="op"
        )

        assert key.expires_at == instant
        known = await bench.keys.find(key.prefix)
        assert known is not None
        assert known.caller.expires_at == instant

    async def test_keys_come_by_age_and_only_their_tenants(self, bench: RegisterBench) -> None:
        await bench.clock.set(START)
        name = await bench.a_tenant()
        await bench.a_key()
        made = []
        for nth in range(3):
            await bench.clock.advance(timedelta(seconds=1))
            made.append(await bench.a_key(name, name=f"key-{nth}"))

        keys = await bench.register.keys(name)

        assert list(keys) == made
        assert (await bench.register.tenant(name)).key_count == 3

    async def test_a_key_policy_may_be_above_its_tenants(self, bench: RegisterBench) -> None:
        key = await bench.a_key()
        await bench.register.change_tenant_policy(key.tenant_name, to(Policy(limits=Limits(rpm=1))), actor="op")

        changed = await bench.register.change_key_policy(key.prefix, to(SOME), actor="op")

        assert (changed.policy, changed.generation) == (SOME, 2)

    async def test_a_prompt_log_is_set_and_taken_away_and_recorded(self, bench: RegisterBench) -> None:
        key = await bench.a_key()
        assert key.prompt_log_ttl_s is None

        on = await bench.register.set_prompt_log(key.prefix, 604_800, actor="op")
        same = await bench.register.set_prompt_log(key.prefix, 604_800, actor="op")
        found = await bench.keys.find(key.prefix)
        off = await bench.register.set_prompt_log(key.prefix, None, actor="op")

        assert (on.prompt_log_ttl_s, on.generation) == (604_800, key.generation + 1)
        assert same == on
        assert found is not None
        assert found.caller.prompt_log_ttl_s == 604_800
        assert (off.prompt_log_ttl_s, off.generation) == (None, on.generation + 1)
        assert [change for change, _ in await bench.changes(key.tenant_id)][-2:] == ["set_prompt_log"] * 2

    async def test_a_replaced_key_hands_over_its_prompt_log(self, bench: RegisterBench) -> None:
        key = await bench.a_key()
        await bench.register.set_prompt_log(key.prefix, 3600, actor="op")

        new = await bench.register.replace_key(key.prefix, new_prefix=a_prefix(), secret_hash="$new$", actor="op")

        assert new.prompt_log_ttl_s == 3600

    async def test_revoking_is_for_good_and_once(self, bench: RegisterBench) -> None:
        await bench.clock.set(START)
        key = await bench.a_key()

        first = await bench.register.revoke_key(key.prefix, actor="op")
        await bench.clock.advance(timedelta(seconds=9))
        second = await bench.register.revoke_key(key.prefix, actor="op")

        assert (first.revoked_at, first.generation) == (START, 2)
        assert second == first
        assert [change for change, _ in await bench.changes(key.tenant_id)].count("revoke_key") == 1
        assert (await bench.register.tenant(key.tenant_name)).key_count == 0

    # ---- rotation ----

    async def test_a_replaced_key_hands_over_name_policy_and_expiry(self, bench: RegisterBench) -> None:
        key = await bench.a_key()
        await bench.register.change_key_policy(key.prefix, to(SOME), actor="op")

        new = await bench.register.replace_key(key.prefix, new_prefix=a_prefix(), secret_hash="$new$", actor="op")

        assert (new.name, new.policy, new.expires_at, new.revoked_at) == (key.name, SOME, None, None)
        assert new.id != key.id
        old = await bench.register.key(key.prefix)
        assert old.revoked_at is not None
        known = await bench.keys.find(new.prefix)
        assert known is not None
        assert known.secret_hash == "$new$"

    async def test_a_replaced_key_hands_over_its_budget_windows(self, bench: RegisterBench) -> None:
        key = await bench.a_key()
        hold, open_hold = a_hold(key), a_hold(key)
        await bench.ledger.hold(hold)
        await bench.ledger.hold(open_hold)
        bench.ledger.settle(an_end(hold, Charge(prompt=10, output=20)))
        await bench.ledger.drain(5)

        new = await bench.register.replace_key(key.prefix, new_prefix=a_prefix(), secret_hash="$new$", actor="op")
        bench.ledger.settle(an_end(open_hold, Charge(prompt=10, output=1)))
        await bench.ledger.drain(5)

        total = (await bench.register.window_use(key.tenant_name, key_prefix=new.prefix))[2]
        assert (total.used, total.held) == (41, 0)

    async def test_a_revoked_key_cannot_be_replaced(self, bench: RegisterBench) -> None:
        key = await bench.a_key()
        await bench.register.revoke_key(key.prefix, actor="op")

        with pytest.raises(Unknown, match="revoked"):
            await bench.register.replace_key(key.prefix, new_prefix=a_prefix(), secret_hash="x", actor="op")

    # ---- use ----

    async def test_the_windows_of_an_unused_key_are_there_and_empty(self, bench: RegisterBench) -> None:
        await bench.clock.set(START)
        key = await bench.a_key()
        await bench.register.change_key_policy(key.prefix, to(Policy(budgets=Budgets(daily=7))), actor="op")

        uses = await bench.register.window_use(key.tenant_name, key_prefix=key.prefix)

        assert [(u.scope, u.window, u.used, u.held, u.limit, u.starts, u.ends) for u in uses] == [
            (Scope.KEY, Window.DAILY, 0, 0, 7, datetime(2027, 3, 10, tzinfo=UTC), datetime(2027, 3, 11, tzinfo=UTC)),
            (Scope.KEY, Window.MONTHLY, 0, 0, None, datetime(2027, 3, 1, tzinfo=UTC), datetime(2027, 4, 1, tzinfo=UTC)),
            (Scope.KEY, Window.TOTAL, 0, 0, None, EPOCH, None),
        ]

    async def test_windows_of_another_tenants_key_are_not_shown(self, bench: RegisterBench) -> None:
        key, stranger = await bench.a_key(), await bench.a_key()

        with pytest.raises(Unknown):
            await bench.register.window_use(key.tenant_name, key_prefix=stranger.prefix)

    async def test_use_by_key_counts_calls_and_charges(self, bench: RegisterBench) -> None:
        await bench.clock.set(START)
        key = await bench.a_key()
        quiet = await bench.a_key(key.tenant_name, name="quiet")
        for output in (5, 6):
            hold = a_hold(key)
            await bench.ledger.hold(hold)
            bench.ledger.settle(an_end(hold, Charge(prompt=10, output=output)))
        await bench.ledger.drain(5)

        use = await bench.register.key_use(key.tenant_name, since=START - timedelta(hours=1))

        assert list(use) == [
            KeyUse(key_prefix=key.prefix, key_name="laptop", requests=2, prompt_tokens=20, output_tokens=11, refused=0)
        ]
        assert quiet.prefix not in {one.key_prefix for one in use}
        assert list(await bench.register.key_use(key.tenant_name, since=START + timedelta(seconds=1))) == []
