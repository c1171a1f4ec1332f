import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.budgets import Budgets
from domain.limits import Limits
from domain.policies import EVERYTHING, Policy, looser_than_tenant
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
