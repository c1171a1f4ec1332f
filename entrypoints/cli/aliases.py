"""Commands that give models other names, for one tenant: so that a program written for `gpt-4o-mini` runs unchanged."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

import rich_click as click

from adapters.ollama.address import BackendAddress
from domain.faults import BackendFault
from domain.models import Catalogue, Model, as_typed, shortest
from domain.ports.registers import Tenant
from entrypoints.cli.completing import complete_alias
from entrypoints.cli.printing import Column, emit_json, examples, json_option, print_table, say, warn
from entrypoints.cli.session import Session
from entrypoints.cli.shapes import alias_documents, aliases_in_short, tenant_document
from entrypoints.cli.tenants import LATE, tenant_option
from entrypoints.cli.values import ModelType


@click.command(
    "set-alias",
    epilog=examples(
        "neuronetz-gateway set-alias --tenant acme gpt-4o-mini llama3.2",
        "neuronetz-gateway set-alias --tenant acme openai/gpt-4o qwen3:8b",
        "neuronetz-gateway set-alias --tenant acme gpt-4o-mini --remove",
    ),
)
@tenant_option
@click.argument("alias", type=ModelType(), shell_complete=complete_alias)
@click.argument("model", type=ModelType(), required=False)
@click.option("--remove", is_flag=True, help="Take the alias away.")
@click.option("--no-validate", is_flag=True, help="Do not ask the backends whether they have the model.")
@json_option
@click.pass_obj
def set_alias(
    session: Session, *, tenant: str, alias: str, model: str | None, remove: bool, no_validate: bool, as_json: bool
) -> None:
    """Let ALIAS mean MODEL for a tenant. It comes before a model of the same name, and widens no model list."""
    if (model is None) is not remove:
        raise click.UsageError("Give the alias and the model it means, or the alias and --remove.")
    if alias == model:
        raise click.UsageError(f"{as_typed(alias)} is the model's own name: an alias is another one.")
    if model is None:
        changed = session.run(lambda tools: session.tenants(tools).remove_alias(tenant, alias), tenant=tenant)
    else:
        changed = session.run(lambda tools: session.tenants(tools).set_alias(tenant, alias, model), tenant=tenant)
        for remark in _remarks(changed.now, model):
            warn(remark)
        if not no_validate:
            for remark in _seen_at_the_backends(session, alias, model):
                warn(remark)
    if not changed.announced:
        warn(LATE)
    if as_json:
        emit_json(tenant_document(changed.now))
    elif model is None:
        say(f"{as_typed(alias)} is no alias of tenant {tenant}.")
    else:
        say(f"{as_typed(alias)} means {shortest(model)} for tenant {tenant}.")


@click.command("list-aliases", epilog=examples("neuronetz-gateway list-aliases --tenant acme"))
@tenant_option
@json_option
@click.pass_obj
def list_aliases(session: Session, *, tenant: str, as_json: bool) -> None:
    """List the names that a tenant has for models."""
    aliases = session.run(lambda tools: tools.tenants.tenant(tenant), tenant=tenant).aliases
    if as_json:
        emit_json(alias_documents(aliases))
    elif not aliases:
        say(f"Tenant {tenant} has no alias. Set one: neuronetz-gateway set-alias --tenant NAME ALIAS MODEL")
    else:
        columns = [Column("Alias"), Column("Model")]
        print_table("Aliases", columns, sorted(aliases_in_short(aliases).items()))


def _remarks(tenant: Tenant, model: str) -> Iterator[str]:
    """Why the alias may not do what was meant, as far as the tenant's own row tells."""
    if model in tenant.aliases:
        yield (
            f"{shortest(model)} is an alias, too. Aliases are followed once: here it means the model of that name, "
            "not what that alias means."
        )
    if tenant.policy.models is not None and model not in tenant.policy.models:
        yield f"{shortest(model)} is not on this tenant's model list, so the alias is refused: see `set-models`."


def _seen_at_the_backends(session: Session, alias: str, model: str) -> Iterator[str]:
    """Likewise, as far as the backends tell."""
    catalogue = asyncio.run(_catalogue(session))
    if catalogue is None:
        yield f"No backend could be asked whether it has {shortest(model)}."
        return
    if catalogue.one(model) is None:
        yield f"No backend has {shortest(model)} now: until one has, the alias is answered with 404."
    if catalogue.one(alias) is not None:
        yield f"A backend has a model named {shortest(alias)}, which this tenant cannot reach while the alias is set."


async def _catalogue(session: Session) -> Catalogue | None:
    """What the backends have that answer; None if none does."""
    addresses = session.settings.addresses
    surveys = await asyncio.gather(*(_models_at(session, address) for address in addresses))
    answered = {address.name: models for address, models in zip(addresses, surveys, strict=True) if models is not None}
    return Catalogue(answered) if answered else None


async def _models_at(session: Session, address: BackendAddress) -> Sequence[Model] | None:
    try:
        return (await session.probe(address)).models
    except BackendFault:
        return None
