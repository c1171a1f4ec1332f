"""Commands for the prompt log: which keys are logged, and reading what was. Whoever reads is written down first."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime, timedelta

import rich_click as click

from application.read_prompts import Altered, HourKeyGone, Opened, OtherSecret
from domain.ports.prompt_journal import NotKept
from domain.ports.registers import ApiKey
from domain.prompts import LONGEST_TTL, SHORTEST_TTL, Listed
from domain.transcripts import Said, answer_said, prompt_said
from entrypoints.cli.completing import complete_prefix
from entrypoints.cli.printing import (
    Cell,
    Column,
    emit_json,
    examples,
    json_option,
    moment,
    note,
    number,
    print_facts,
    print_table,
    say,
    visible,
    warn,
)
from entrypoints.cli.problems import Failure
from entrypoints.cli.session import Session
from entrypoints.cli.shapes import Document, key_document, span_in_words
from entrypoints.cli.tenants import LATE, tenant_option
from entrypoints.cli.values import PrefixType, RequestIdType, SpanType, WhenType, as_of
from entrypoints.operator_tools import OperatorTools

_MOST_LISTED = 1000
_COLUMNS = [
    Column("Time, UTC"),
    Column("Request", whole=True),
    Column("Prompt\nAnswer", "right"),
    Column("Expires, UTC"),
]
"""Request ids are long: what else is known of a call stands below, or a terminal of 80 columns would cut them."""


@click.command(
    "set-prompt-logging",
    epilog=examples(
        "neuronetz-gateway set-prompt-logging --key nz_abc12345 --ttl 7d",
        "neuronetz-gateway set-prompt-logging --key nz_abc12345 --off",
    ),
)
@click.option(
    "--key",
    "prefix",
    type=PrefixType(),
    required=True,
    shell_complete=complete_prefix,
    help="The key's public prefix.",
)
@click.option("--ttl", type=SpanType(SHORTEST_TTL, LONGEST_TTL), help="How long each is kept, from 1h to 365d.")
@click.option("--off", is_flag=True, help="Log no more; what is kept already goes when its time is over.")
@json_option
@click.pass_obj
def set_prompt_logging(session: Session, *, prefix: str, ttl: timedelta | None, off: bool, as_json: bool) -> None:
    """Keep the prompts and answers of one key, encrypted, for a time; or stop keeping them.

    Needs PROMPT_LOG_KEY, on every gateway, too: one without it refuses the key's calls.
    """
    if (ttl is not None) is off:
        raise click.UsageError("Give --ttl or --off.")
    if ttl is not None:
        session.settings.need("PROMPT_LOG_KEY")
    ttl_s = None if ttl is None else int(ttl.total_seconds())

    async def apply(tools: OperatorTools) -> tuple[ApiKey, bool, datetime]:
        changed = await session.keys(tools).set_prompt_log(prefix, ttl_s)
        return changed.now, changed.announced, tools.clock.now()

    key, announced, now = session.run(apply)
    if not announced:
        warn(LATE)
    if as_json:
        emit_json(key_document(key, now))
    elif key.prompt_log_ttl_s is None:
        say(f"Prompts and answers of key {key.prefix} ({key.name}) are not logged.")
    else:
        span = span_in_words(key.prompt_log_ttl_s)
        say(f"Prompts and answers of key {key.prefix} ({key.name}) are kept for {span}, encrypted.")


@click.group("prompts")
def prompts() -> None:
    """Read what was logged of keys with `set-prompt-logging`. The audit says who looked."""


@prompts.command(
    "list",
    epilog=examples(
        "neuronetz-gateway prompts list --tenant acme",
        "neuronetz-gateway prompts list --tenant acme --key nz_abc12345 --since 2h",
    ),
)
@tenant_option
@click.option(
    "--key", "prefix", type=PrefixType(), shell_complete=complete_prefix, help="Of this key alone, by its prefix."
)
@click.option("--since", "given", type=WhenType(), help="From when on: 2027-01-31, 2027-01-31T18:00 (UTC), 2d, 12h.")
@json_option
@click.pass_obj
def list_prompts(
    session: Session, *, tenant: str, prefix: str | None, given: datetime | timedelta | None, as_json: bool
) -> None:
    """List what is kept, newest first, without a word of it."""

    async def gather(tools: OperatorTools) -> Sequence[Listed]:
        return await tools.kept_prompts.entries(
            tenant,
            key_prefix=prefix,
            since=as_of(given, tools.clock.now()),
            most=_MOST_LISTED,
            actor=session.actor,
        )

    found = session.run(gather, tenant=tenant)
    if len(found) == _MOST_LISTED:
        note(f"These are the newest {number(_MOST_LISTED)}; there may be more.")
    if as_json:
        emit_json([_document(one) for one in found])
    elif not found:
        say("Nothing is kept. Keep a key's prompts with: neuronetz-gateway set-prompt-logging --key PREFIX --ttl 7d")
    else:
        print_table("Kept prompts", _COLUMNS, [_row(one) for one in found])


@prompts.command("show", epilog=examples("neuronetz-gateway prompts show req_0123456789abcdef0123456789abcdef"))
@click.argument("request_id", type=RequestIdType(), metavar="REQUEST_ID")
@click.option("--raw", is_flag=True, help="Print the bytes that were kept, prompt and answer, into a file or pipe.")
@json_option
@click.pass_obj
def show_prompt(session: Session, *, request_id: str, raw: bool, as_json: bool) -> None:
    """Show the prompt and the answer of one call. Needs PROMPT_LOG_KEY and REDIS_URL."""
    if raw and as_json:
        raise click.UsageError("Give --raw or --json.")
    if raw and sys.stdout.isatty():
        raise click.UsageError("A caller's bytes may command a terminal: send --raw into a file or a pipe.")
    session.settings.need("PROMPT_LOG_KEY", "REDIS_URL")
    opened = _opened(session, request_id)
    if raw:
        click.echo(opened.prompt)
        click.echo(opened.answer, nl=False)
    elif as_json:
        emit_json(
            _document(opened.listed)
            | {
                "prompt": [_said_document(said) for said in prompt_said(opened.prompt)],
                "answer": [_said_document(said) for said in answer_said(opened.answer)],
            }
        )
    else:
        _show(opened)


def _opened(session: Session, request_id: str) -> Opened:
    async def read(tools: OperatorTools) -> Opened:
        async with tools.read_prompts(session.actor) as reading:
            return await reading.one(request_id)

    try:
        return session.run(read)
    except NotKept:
        raise Failure(
            f"Nothing is kept of req_{request_id}: it was not logged, or its time is over. "
            "See `neuronetz-gateway prompts list --tenant NAME`."
        ) from None
    except HourKeyGone:
        raise Failure(
            f"What is kept of req_{request_id} cannot be read any more by anyone: its hour key is gone from Redis, "
            "because its hour is over or because Redis lost its memory."
        ) from None
    except OtherSecret:
        raise Failure(
            f"What is kept of req_{request_id} was encrypted under another PROMPT_LOG_KEY: add that one behind the "
            "current one, after a comma."
        ) from None
    except Altered:
        raise Failure(
            f"What is kept of req_{request_id} was changed in the database, so it is not shown. "
            "Look who may write there."
        ) from None


def _row(one: Listed) -> Sequence[Cell]:
    return [
        moment(one.at),
        [f"req_{one.heading.request_id}", f"{one.heading.key_prefix}  {one.heading.model}"],
        [f"{number(one.prompt_bytes)} B", f"{number(one.answer_bytes)} B"],
        moment(one.expires_at),
    ]


def _document(one: Listed) -> Document:
    return {
        "request_id": f"req_{one.heading.request_id}",
        "at": one.at,
        "expires_at": one.expires_at,
        "key": one.heading.key_prefix,
        "route": one.heading.route,
        "model": one.heading.model,
        "streamed": one.heading.streamed,
        "prompt_bytes": one.prompt_bytes,
        "prompt_cut": one.prompt_cut,
        "answer_bytes": one.answer_bytes,
        "answer_cut": one.answer_cut,
    }


def _said_document(said: Said) -> Document:
    return {"who": said.who, "text": said.text}


def _show(opened: Opened) -> None:
    listed = opened.listed
    facts = {
        "Request": f"req_{listed.heading.request_id}",
        "Ended": f"{moment(listed.at)} UTC",
        "Key": listed.heading.key_prefix,
        "Route": listed.heading.route,
        "Model": listed.heading.model,
        "Expires": f"{moment(listed.expires_at)} UTC",
    }
    print_facts("", facts)
    _show_side("Prompt", prompt_said(opened.prompt), cut_at=listed.prompt_bytes if listed.prompt_cut else None)
    _show_side("Answer", answer_said(opened.answer), cut_at=listed.answer_bytes if listed.answer_cut else None)


def _show_side(title: str, said: Sequence[Said], *, cut_at: int | None) -> None:
    click.echo()
    click.secho(title, bold=True)
    for one in said:
        click.secho(f"  {visible(one.who)}", dim=True)
        for line in one.text.split("\n"):
            click.echo(f"    {visible(line)}")
    if not said:
        click.echo("  (nothing)")
    if cut_at is not None:
        click.echo(f"  (cut: {number(cut_at)} bytes are kept, and there was more)")
