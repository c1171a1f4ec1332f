"""Commands that make, show, rotate and revoke API keys."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import rich_click as click

from application.administer_keys import NewKey
from domain.budgets import WindowUse
from domain.ports.registers import ApiKey
from entrypoints.cli.completing import complete_prefix
from entrypoints.cli.key_tables import print_keys
from entrypoints.cli.printing import emit_json, examples, json_option, moment, note, print_facts, say, warn
from entrypoints.cli.session import Session
from entrypoints.cli.shapes import key_document, policy_in_words, span_in_words, state_of, window_document
from entrypoints.cli.tenants import LATE, tenant_option
from entrypoints.cli.values import NameType, PrefixType, WhenType, expiry
from entrypoints.cli.window_tables import print_windows
from entrypoints.operator_tools import OperatorTools

prefix_option = click.option(
    "--prefix",
    type=PrefixType(),
    required=True,
    shell_complete=complete_prefix,
    help="The key's public prefix, as nz_abc12345.",
)


@click.command(
    "create-key",
    epilog=examples(
        "neuronetz-gateway create-key --tenant acme --name ci",
        "neuronetz-gateway create-key --tenant acme --name trial --expires 30d",
        "KEY=$(neuronetz-gateway create-key --tenant acme --name app)",
    ),
)
@tenant_option
@click.option("--name", type=NameType(), required=True, help="A name to tell it from the tenant's other keys.")
@click.option("--expires", type=WhenType(), help="When it ends: 2027-01-31, 2027-01-31T18:00 (UTC), 30d, 12h.")
@json_option
@click.pass_obj
def create_key(
    session: Session, *, tenant: str, name: str, expires: datetime | timedelta | None, as_json: bool
) -> None:
    """Make an API key and print it, this once, alone on stdout."""
    pepper = session.settings.need_peppers()[0]

    async def make(tools: OperatorTools) -> tuple[NewKey, datetime]:
        now = tools.clock.now()
        made = await session.keys(tools).create(tenant, name=name, expires_at=expiry(expires, now), pepper=pepper)
        return made, now

    made, now = session.run(make, tenant=tenant)
    _hand_over(made, now, as_json=as_json)


@click.command("list-keys")
@tenant_option
@json_option
@click.pass_obj
def list_keys(session: Session, *, tenant: str, as_json: bool) -> None:
    """List a tenant's keys; never the keys themselves, which nobody but their holders has."""

    async def gather(tools: OperatorTools) -> tuple[Sequence[ApiKey], datetime]:
        return await tools.tenants.keys(tenant), tools.clock.now()

    keys, now = session.run(gather, tenant=tenant)
    if as_json:
        emit_json([key_document(key, now) for key in keys])
    else:
        print_keys(keys, now)


@click.command("show-key")
@prefix_option
@json_option
@click.pass_obj
def show_key(session: Session, *, prefix: str, as_json: bool) -> None:
    """Show one key: its own policy and budgets. The tenant's hold besides."""

    async def gather(tools: OperatorTools) -> tuple[ApiKey, Sequence[WindowUse], datetime]:
        key = await tools.tenants.key(prefix)
        return key, await tools.tenants.window_use(key.tenant_name, key_prefix=prefix), tools.clock.now()

    key, windows, now = session.run(gather)
    if as_json:
        emit_json(key_document(key, now) | {"windows": [window_document(use) for use in windows]})
        return
    facts = {
        "Key": key.prefix,
        "Name": key.name,
        "Tenant": key.tenant_name,
        "State": str(state_of(key, now)),
        "Made": f"{moment(key.created_at)} UTC",
        "Expires": moment(key.expires_at, none="never"),
        "Revoked": moment(key.revoked_at, none="no"),
        "Last used": moment(key.last_used_at, none="never"),
        "Prompts": "not logged" if key.prompt_log_ttl_s is None else f"kept for {span_in_words(key.prompt_log_ttl_s)}",
    } | policy_in_words(key.policy, whose="own ")
    print_facts("", facts)
    click.echo()
    print_windows("Budgets now, in tokens", windows)


@click.command("rotate-key", epilog=examples("neuronetz-gateway rotate-key --prefix nz_abc12345"))
@prefix_option
@json_option
@click.pass_obj
def rotate_key(session: Session, *, prefix: str, as_json: bool) -> None:
    """Replace a key by a new one with its name, policy, expiry and budgets; the old one is revoked at once."""
    pepper = session.settings.need_peppers()[0]

    async def replace(tools: OperatorTools) -> tuple[NewKey, datetime]:
        return await session.keys(tools).rotate(prefix, pepper=pepper), tools.clock.now()

    made, now = session.run(replace)
    _hand_over(made, now, as_json=as_json)


@click.command("revoke-key", epilog=examples("neuronetz-gateway revoke-key --prefix nz_abc12345"))
@prefix_option
@json_option
@click.pass_obj
def revoke_key(session: Session, *, prefix: str, as_json: bool) -> None:
    """End a key for good. No call is admitted with it once this command has returned."""

    async def revoke(tools: OperatorTools) -> tuple[ApiKey, bool, datetime]:
        changed = await session.keys(tools).revoke(prefix)
        return changed.now, changed.announced, tools.clock.now()

    key, announced, now = session.run(revoke)
    if not announced:
        warn(LATE)
    if as_json:
        emit_json(key_document(key, now))
    else:
        say(f"Key {key.prefix} ({key.name}, of {key.tenant_name}) is revoked.")


def _hand_over(made: NewKey, now: datetime, *, as_json: bool) -> None:
    """Prints the key: the one place where a key leaves the program."""
    if not made.announced:
        warn(LATE)
    if as_json:
        emit_json({"key": made.text.unwrap()} | key_document(made.key, now))
        return
    note(f"Key {made.key.prefix} ({made.key.name}, of {made.key.tenant_name}):")
    click.echo(made.text.unwrap())
    ends = f" It ends {moment(made.key.expires_at)} UTC." if made.key.expires_at else ""
    note(f"Store it now: it is shown this once and cannot be shown again.{ends}")
