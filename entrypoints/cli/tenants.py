"""Commands that make, show, suspend and resume tenants."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import datetime

import attrs
import rich_click as click

from application.administer_tenants import Changed
from domain.budgets import WindowUse
from domain.policies import TenantState
from domain.ports.registers import ApiKey, Tenant
from entrypoints.cli.completing import complete_tenant
from entrypoints.cli.key_tables import print_keys
from entrypoints.cli.printing import (
    Cell,
    Column,
    emit_json,
    examples,
    json_option,
    moment,
    print_facts,
    print_table,
    say,
    warn,
)
from entrypoints.cli.session import Session
from entrypoints.cli.shapes import (
    aliases_in_words,
    budgets_in_words,
    limits_in_words,
    models_in_words,
    policy_in_words,
    tenant_document,
    window_document,
)
from entrypoints.cli.values import NameType
from entrypoints.cli.window_tables import print_windows
from entrypoints.operator_tools import OperatorTools

LATE = (
    "Redis could not be told, so running gateways learn of this change at each caller's next hold, or within seconds."
)

tenant_option = click.option(
    "--tenant", metavar="NAME", required=True, shell_complete=complete_tenant, help="The tenant's name."
)


@click.command("create-tenant", epilog=examples("neuronetz-gateway create-tenant --name acme"))
@click.option("--name", type=NameType(), required=True, help="Its name, which no other tenant has.")
@json_option
@click.pass_obj
def create_tenant(session: Session, *, name: str, as_json: bool) -> None:
    """Make a tenant, with no limits and no budgets yet."""
    tenant = session.run(lambda tools: session.tenants(tools).create(name))
    if as_json:
        emit_json(tenant_document(tenant))
    else:
        command = f"neuronetz-gateway create-key --tenant {shlex.quote(tenant.name)} --name KEY"
        say(f"Tenant {tenant.name} is made. Give it a key: {command}")


@click.command("list-tenants")
@json_option
@click.pass_obj
def list_tenants(session: Session, *, as_json: bool) -> None:
    """List all tenants with what they may use."""
    tenants = session.run(lambda tools: tools.tenants.tenants())
    if as_json:
        emit_json([tenant_document(tenant) for tenant in tenants])
        return
    if not tenants:
        say("There is no tenant yet. Make one: neuronetz-gateway create-tenant --name NAME")
        return
    left = [Column(heading) for heading in ("Limits", "Budgets", "Models")]
    columns = [Column("Tenant"), Column("State", whole=True), Column("Keys", "right"), *left]
    print_table("Tenants", columns, [_row(tenant) for tenant in tenants])


def _row(tenant: Tenant) -> Sequence[Cell]:
    policy = tenant.policy
    return [
        tenant.name,
        str(tenant.state),
        str(tenant.key_count),
        limits_in_words(policy.limits),
        budgets_in_words(policy.budgets),
        models_in_words(policy.models),
    ]


@attrs.frozen(kw_only=True)
class _View:
    """What one look at a tenant shows."""

    tenant: Tenant
    windows: Sequence[WindowUse]
    keys: Sequence[ApiKey]
    now: datetime


@click.command("show-tenant")
@tenant_option
@json_option
@click.pass_obj
def show_tenant(session: Session, *, tenant: str, as_json: bool) -> None:
    """Show one tenant: its policy, its budgets now, and its keys."""

    async def gather(tools: OperatorTools) -> _View:
        return _View(
            tenant=await tools.tenants.tenant(tenant),
            windows=await tools.tenants.window_use(tenant),
            keys=await tools.tenants.keys(tenant),
            now=tools.clock.now(),
        )

    view = session.run(gather, tenant=tenant)
    found = view.tenant
    if as_json:
        emit_json(tenant_document(found) | {"windows": [window_document(use) for use in view.windows]})
        return
    facts = {
        "Tenant": found.name,
        "State": str(found.state),
        "Made": f"{moment(found.created_at)} UTC",
        **policy_in_words(found.policy),
        "Aliases": aliases_in_words(found.aliases),
    }
    print_facts("", facts)
    click.echo()
    print_windows("Budgets now, in tokens", view.windows)
    click.echo()
    print_keys(view.keys, view.now)


@click.command("suspend-tenant")
@tenant_option
@json_option
@click.pass_obj
def suspend_tenant(session: Session, *, tenant: str, as_json: bool) -> None:
    """Refuse all calls of a tenant from now on, and cut those that run."""
    _tell(session.run(lambda tools: session.tenants(tools).suspend(tenant), tenant=tenant), as_json=as_json)


@click.command("resume-tenant")
@tenant_option
@json_option
@click.pass_obj
def resume_tenant(session: Session, *, tenant: str, as_json: bool) -> None:
    """Serve a suspended tenant again."""
    _tell(session.run(lambda tools: session.tenants(tools).resume(tenant), tenant=tenant), as_json=as_json)


def _tell(changed: Changed[Tenant], *, as_json: bool) -> None:
    if not changed.announced:
        warn(LATE)
    if as_json:
        emit_json(tenant_document(changed.now))
    elif changed.now.state is TenantState.SUSPENDED:
        say(f"Tenant {changed.now.name} is suspended: its keys are refused until `resume-tenant`.")
    else:
        say(f"Tenant {changed.now.name} is active.")
