"""Commands that set limits, budgets and models, of a tenant or of one of its keys.

Both bind where both are set: a key's value above its tenant's is accepted, and binds once the tenant's is raised.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

import attrs
import rich_click as click

from application.administer_keys import key_of
from domain.policies import Policy
from domain.ports.registers import ApiKey, Tenant
from entrypoints.cli.completing import complete_prefix
from entrypoints.cli.printing import emit_json, examples, json_option, say, warn
from entrypoints.cli.session import Session
from entrypoints.cli.shapes import key_document, policy_in_words, tenant_document
from entrypoints.cli.tenants import LATE, tenant_option
from entrypoints.cli.values import NO_LIMIT, Amount, AmountType, ModelType, PrefixType
from entrypoints.operator_tools import OperatorTools

key_option = click.option(
    "--key",
    "prefix",
    type=PrefixType(),
    shell_complete=complete_prefix,
    help="Set it for this key alone, by its prefix.",
)


@click.command(
    "set-limits",
    epilog=examples(
        "neuronetz-gateway set-limits --tenant acme --rpm 60 --tpm 100000 --concurrency 4",
        "neuronetz-gateway set-limits --tenant acme --key nz_abc12345 --rpm none",
    ),
)
@tenant_option
@key_option
@click.option("--rpm", type=AmountType(), help="Requests in any 60 seconds.")
@click.option("--tpm", type=AmountType(), help="Tokens in any 60 seconds, prompt and output.")
@click.option("--concurrency", type=AmountType(), help="Requests at once.")
@json_option
@click.pass_obj
def set_limits(session: Session, /, *, tenant: str, prefix: str | None, as_json: bool, **given: Amount | None) -> None:
    """Set rate limits. Only those named change; `none` takes one away."""
    amounts = _amounts(given)

    def change(policy: Policy) -> Policy:
        return attrs.evolve(policy, limits=attrs.evolve(policy.limits, **amounts))

    _apply(session, tenant, prefix, change, as_json=as_json)


@click.command(
    "set-budgets",
    epilog=examples(
        "neuronetz-gateway set-budgets --tenant acme --daily 200000 --monthly 4000000",
        "neuronetz-gateway set-budgets --tenant acme --key nz_abc12345 --total 50000",
    ),
)
@tenant_option
@key_option
@click.option("--daily", type=AmountType(), help="Tokens a day, UTC.")
@click.option("--monthly", type=AmountType(), help="Tokens a calendar month, UTC.")
@click.option("--total", type=AmountType(), help="Tokens in all.")
@json_option
@click.pass_obj
def set_budgets(session: Session, /, *, tenant: str, prefix: str | None, as_json: bool, **given: Amount | None) -> None:
    """Set token budgets. Only those named change; `none` takes one away."""
    amounts = _amounts(given)

    def change(policy: Policy) -> Policy:
        return attrs.evolve(policy, budgets=attrs.evolve(policy.budgets, **amounts))

    _apply(session, tenant, prefix, change, as_json=as_json)


@click.command(
    "set-models",
    epilog=examples(
        "neuronetz-gateway set-models --tenant acme --model llama3.2 --model nomic-embed-text",
        "neuronetz-gateway set-models --tenant acme --all",
    ),
)
@tenant_option
@key_option
@click.option("--model", "models", type=ModelType(), multiple=True, help="A model that may be used; repeat for more.")
@click.option("--all", "every", is_flag=True, help="All models that the backends have, now and later.")
@json_option
@click.pass_obj
def set_models(
    session: Session, *, tenant: str, prefix: str | None, models: tuple[str, ...], every: bool, as_json: bool
) -> None:
    """Set which models may be used; the list given replaces the former one."""
    if bool(models) is every:
        raise click.UsageError("Give --model, once for each model, or --all.")

    def change(policy: Policy) -> Policy:
        return attrs.evolve(policy, models=None if every else frozenset(models))

    _apply(session, tenant, prefix, change, as_json=as_json)


def _amounts(given: dict[str, Amount | None]) -> dict[str, int | None]:
    named = {name: None if value is NO_LIMIT else value for name, value in given.items() if value is not None}
    if not named:
        raise click.UsageError(f"Give at least one of {', '.join(f'--{name}' for name in given)}.")
    return named


@attrs.frozen(kw_only=True)
class _Result:
    changed: Tenant | ApiKey
    announced: bool
    looser: Sequence[str]
    now: datetime


def _apply(
    session: Session, tenant: str, prefix: str | None, change: Callable[[Policy], Policy], *, as_json: bool
) -> None:
    async def apply(tools: OperatorTools) -> _Result:
        now = tools.clock.now()
        if prefix is None:
            of_tenant = await session.tenants(tools).change_policy(tenant, change)
            return _Result(changed=of_tenant.now, announced=of_tenant.announced, looser=(), now=now)
        await key_of(tools.tenants, prefix, tenant)
        keys = session.keys(tools)
        of_key = await keys.change_policy(prefix, change)
        looser = await keys.looser_than_tenant(of_key.now)
        return _Result(changed=of_key.now, announced=of_key.announced, looser=looser, now=now)

    _tell(session.run(apply, tenant=tenant), as_json=as_json)


def _tell(result: _Result, *, as_json: bool) -> None:
    if not result.announced:
        warn(LATE)
    if result.looser:
        verb = "is" if len(result.looser) == 1 else "are"
        warn(f"{', '.join(result.looser)} of this key {verb} above its tenant's, which still binds.")
    changed = result.changed
    if as_json:
        emit_json(tenant_document(changed) if isinstance(changed, Tenant) else key_document(changed, result.now))
        return
    whose = f"Tenant {changed.name}" if isinstance(changed, Tenant) else f"Key {changed.prefix} ({changed.name})"
    facts = policy_in_words(changed.policy)
    say(f"{whose} has {'; '.join(f'{name.lower()}: {words}' for name, words in facts.items())}.")
