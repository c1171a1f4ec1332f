import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.budgets import Budgets
from domain.limits import Limits
from domain.policies import (
    EVERYTHING,
    MAX_ALIASES,
    Aliases,
    Policy,
    TooManyAliases,
    looser_than_tenant,
    with_alias,
    without_alias,
)
from tests.builders import a_caller

A, B, C = (f"registry.ollama.ai/library/{name}:latest" for name in "abc")
some = st.none() | st.integers(1, 50)
limits = st.builds(Limits, rpm=some, tpm=some, concurrency=some)
budgets = st.builds(Budgets, daily=some, monthly=some, total=some)
models = st.none() | st.frozensets(st.sampled_from([A, B, C]))
policies = st.builds(Policy, limits=limits, budgets=budgets, models=models)


@pytest.mark.parametrize(
    ("tenant", "key", "allowed"),
    [
        (None, None, {A, B, C}),
        ({A, B}, None, {A, B}),
        (None, {A}, {A}),
        ({A, B}, {B, C}, {B}),
        ({A}, {B}, set()),
        (set(), None, set()),
        (None, set(), set()),
    ],
)
def test_a_model_must_be_on_both_lists_that_are_set(
    tenant: set[str] | None, key: set[str] | None, allowed: set[str]
) -> None:
    caller = a_caller(
        tenant_policy=Policy(models=None if tenant is None else frozenset(tenant)),
        key_policy=Policy(models=None if key is None else frozenset(key)),
    )

    assert {name for name in (A, B, C) if caller.may_use(name)} == allowed


def test_lists_hold_canonical_names_only() -> None:
    assert not a_caller(tenant_policy=Policy(models=frozenset({A}))).may_use("a")


@given(policies)
def test_a_key_without_values_of_its_own_is_never_looser(tenant: Policy) -> None:
    assert looser_than_tenant(EVERYTHING, tenant) == []


@given(policies)
def test_a_key_with_its_tenants_values_is_not_looser(policy: Policy) -> None:
    assert looser_than_tenant(policy, policy) == []


@given(policies)
def test_no_key_is_looser_than_a_tenant_without_limits(key: Policy) -> None:
    assert looser_than_tenant(key, EVERYTHING) == []


@given(policies, policies)
def test_looser_values_are_named_exactly(key: Policy, tenant: Policy) -> None:
    named = set(looser_than_tenant(key, tenant))
    for group in ("limits", "budgets"):
        for name in getattr(key, group).__slots__:
            if name.startswith("__"):
                continue
            own, theirs = getattr(getattr(key, group), name), getattr(getattr(tenant, group), name)
            assert (name in named) == (own is not None and theirs is not None and own > theirs)
    both = key.models is not None and tenant.models is not None
    assert ("models" in named) == (both and bool((key.models or set()) - (tenant.models or set())))


def test_models_beyond_the_tenants_are_named() -> None:
    tenant = Policy(models=frozenset({A}))

    assert looser_than_tenant(Policy(models=frozenset({A, B})), tenant) == ["models"]
    assert looser_than_tenant(Policy(models=frozenset()), tenant) == []


# -- aliases --------------------------------------------------------------------------------------------------------
names = st.sampled_from([f"registry.ollama.ai/library/{name}:latest" for name in "abcdef"])
aliases = st.dictionaries(names, names, max_size=6)


@given(aliases, names)
def test_an_alias_is_followed_once_and_every_other_name_is_its_own(given_aliases: Aliases, name: str) -> None:
    caller = a_caller(aliases=given_aliases)

    assert caller.meant_by(name) == given_aliases.get(name, name)


@given(aliases, st.none() | st.frozensets(names), st.none() | st.frozensets(names), names)
def test_no_alias_widens_what_may_be_used(
    given_aliases: Aliases, tenant: frozenset[str] | None, key: frozenset[str] | None, asked: str
) -> None:
    policies_of = {"tenant_policy": Policy(models=tenant), "key_policy": Policy(models=key)}
    without, caller = a_caller(**policies_of), a_caller(**policies_of, aliases=given_aliases)

    assert caller.may_use(caller.meant_by(asked)) == without.may_use(caller.meant_by(asked))


@given(aliases, names, names)
def test_setting_and_removing_change_one_name_alone(before: Aliases, alias: str, model: str) -> None:
    after = with_alias(before, alias, model)
    gone = without_alias(after, alias)

    assert after[alias] == model
    assert alias not in gone
    assert gone == without_alias(gone, alias) == without_alias(before, alias)
    assert with_alias(after, alias, model) == after


def test_a_tenant_has_so_many_aliases_and_no_more() -> None:
    full = {f"registry.ollama.ai/library/{nth}:latest": A for nth in range(MAX_ALIASES)}

    with pytest.raises(TooManyAliases, match=str(MAX_ALIASES)):
        with_alias(full, B, A)
    assert with_alias(full, next(iter(full)), B) != full
