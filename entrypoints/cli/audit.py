"""Commands that read the audit: its newest lines, what comes from now on, and all of it into a file."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import rich_click as click

from application.counting import counted
from domain.faults import StoreUnavailable
from domain.ports.audit_reader import EVENTS, AuditFilter, AuditLine, AuditNews
from entrypoints.cli.audit_export import FORMATS, export, progress
from entrypoints.cli.audit_lines import document, json_line, print_lines, text_line
from entrypoints.cli.audit_verify import verify
from entrypoints.cli.completing import complete_prefix, complete_tenant
from entrypoints.cli.printing import emit_json, examples, json_option, say, warn
from entrypoints.cli.session import Session
from entrypoints.cli.values import PrefixType, RequestIdType, WhenType, as_of
from entrypoints.operator_tools import OperatorTools

_LOOK_EVERY_S = 0.5
_Command = Callable[..., Any]


def _filters(command: _Command) -> _Command:
    """The options that say which lines are wanted."""
    ago = "2h, 7d, or 2027-01-31T18:00 (UTC)"
    options = [
        click.option("--tenant", metavar="NAME", shell_complete=complete_tenant, help="Of this tenant."),
        click.option("--key", "key_prefix", type=PrefixType(), shell_complete=complete_prefix, help="Of this key."),
        click.option("--event", type=click.Choice(EVENTS), help="Of this kind."),
        click.option("--outcome", metavar="WORD", help="With this outcome or code, such as hung_up or rate_limited."),
        click.option("--request", "request_id", type=RequestIdType(), help="Of this request: its x-request-id."),
        click.option("--since", type=WhenType(), help=f"From then on: {ago}."),
        click.option("--until", type=WhenType(), help="Before then."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.group(
    "audit",
    invoke_without_command=True,
    epilog=examples(
        "neuronetz-gateway audit --tenant acme --since 2h",
        "neuronetz-gateway audit --follow --event refused",
        "neuronetz-gateway audit export --format csv --output acme.csv --tenant acme --since 30d",
        "neuronetz-gateway audit verify",
    ),
)
@_filters
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="So many, the newest.")
@click.option("--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@json_option
@click.pass_context
def audit(ctx: click.Context, /, *, limit: int, follow: bool, as_json: bool, **given: Any) -> None:
    """Show the newest lines of the audit, or follow it. With --json --follow, one document a line."""
    if ctx.invoked_subcommand is not None:
        if follow or as_json or any(value is not None for value in given.values()):
            raise click.UsageError(f"Put these options behind `{ctx.invoked_subcommand}`.")
        return
    if follow and given["until"] is not None:
        raise click.UsageError("--follow has no end: leave --until out.")
    session: Session = ctx.obj
    if follow:
        show = _shower(as_json=as_json)
        session.run(lambda tools: _follow(tools, _wanted(tools, given), limit, show), tenant=given["tenant"])
        return
    news = session.run(lambda tools: tools.audit.newest(_wanted(tools, given), limit), tenant=given["tenant"])
    if as_json:
        emit_json([document(line) for line in news.lines])
    elif news.lines:
        print_lines(news.lines)
    else:
        say("There is no such line.")


audit.add_command(verify)


@audit.command(
    "export", epilog=examples("neuronetz-gateway audit export --format jsonl --output audit.jsonl --since 30d")
)
@_filters
@click.option("--format", "kind", type=click.Choice(list(FORMATS)), required=True, help="JSON lines, or CSV.")
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), required=True, metavar="FILE",
    help="The file, which only you may read; replaced if it is there.",
)  # fmt: skip
@click.pass_obj
def export_audit(session: Session, /, *, kind: str, output: Path, **given: Any) -> None:
    """Write lines of the audit to a file, the oldest first: all that are there when it begins."""
    with progress() as told:
        count = session.run(
            lambda tools: export(tools.audit, _wanted(tools, given), kind, output, told), tenant=given["tenant"]
        )
    say(f"{counted(count, 'line is', 'lines are')} in {output}.")


def _wanted(tools: OperatorTools, given: dict[str, Any]) -> AuditFilter:
    now = tools.clock.now()
    since: datetime | timedelta | None = given["since"]
    until: datetime | timedelta | None = given["until"]
    rest = {name: given[name] for name in ("key_prefix", "event", "outcome", "request_id")}
    return AuditFilter(tenant_name=given["tenant"], since=as_of(since, now), until=as_of(until, now), **rest)


def _shower(*, as_json: bool) -> Callable[[Sequence[AuditLine]], None]:
    written = json_line if as_json else text_line

    def show(lines: Sequence[AuditLine]) -> None:
        for line in lines:
            click.echo(written(line))

    return show


async def _follow(
    tools: OperatorTools, wanted: AuditFilter, limit: int, show: Callable[[Sequence[AuditLine]], None]
) -> None:
    """Shows the newest, then all that comes. An outage is sat out: the place stays good."""
    news = await tools.audit.newest(wanted, limit)
    away = False
    while True:
        show(news.lines)
        if not news.more:
            await asyncio.sleep(_LOOK_EVERY_S)
        try:
            news, away = await tools.audit.follow(wanted, news.place), False
        except StoreUnavailable as fault:
            if not away:
                warn(f"{fault.sentence} Going on as soon as it does; no line will be missed.")
            news, away = AuditNews(lines=(), place=news.place), True
