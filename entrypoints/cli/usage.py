"""The command that shows what was used and what is left: of a tenant now, of a tenant over time, of all tenants."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import attrs
import rich_click as click

from application.report_usage import KeySums, UsageReport, report_usage
from domain.ports.registers import KeyUse
from domain.ports.usage_reader import Span, SpanUse, TooManySpans
from entrypoints.cli.completing import complete_prefix, complete_tenant
from entrypoints.cli.printing import Column, emit_json, examples, json_option, number, print_table, say
from entrypoints.cli.problems import Failure
from entrypoints.cli.session import Session
from entrypoints.cli.shapes import Document, window_document
from entrypoints.cli.usage_chart import print_by_tenant, print_over_time, span_document, tenant_use_document
from entrypoints.cli.values import PrefixType, WhenType, as_of
from entrypoints.cli.window_tables import print_windows
from entrypoints.operator_tools import OperatorTools

_MOST_TENANTS = 20
_BACK = {Span.HOUR: timedelta(hours=23), Span.DAY: timedelta(days=29), Span.MONTH: timedelta(days=334)}
"""With the present one these make 24 hours, 30 days, 12 months."""

_COLUMNS = [
    Column("Key", whole=True),
    Column("Name"),
    Column("Calls\ntoday", "right"),
    Column("Tokens\ntoday", "right"),
    Column("Refused\ntoday", "right"),
    Column("Calls\nthis month", "right"),
    Column("Tokens\nthis month", "right"),
    Column("Refused\nthis month", "right"),
]


@click.command(
    "usage",
    epilog=examples(
        "neuronetz-gateway usage",
        "neuronetz-gateway usage --tenant acme",
        "neuronetz-gateway usage --tenant acme --by day --since 30d",
    ),
)
@click.option("--tenant", metavar="NAME", shell_complete=complete_tenant, help="The tenant's name; all if left out.")
@click.option("--key", "prefix", type=PrefixType(), shell_complete=complete_prefix, help="Of this key alone.")
@click.option("--by", type=click.Choice([str(span) for span in Span]), help="Over time, a row for each of these (UTC).")
@click.option("--since", type=WhenType(), help="From when on: 7d, 2027-01-31.  [default: 24 hours, 30 days, 12 months]")
@click.option("--limit", type=click.IntRange(1, 10_000), help="So many tenants, those that used most.  [default: 20]")
@json_option
@click.pass_obj
def usage(
    session: Session,
    *,
    tenant: str | None,
    prefix: str | None,
    by: str | None,
    since: datetime | timedelta | None,
    limit: int | None,
    as_json: bool,
) -> None:
    """Show what was used of budgets, what running calls hold, and what is left."""
    if tenant is None:
        if prefix or by or since:
            raise click.UsageError("--key, --by and --since are of one tenant: give --tenant too.")
        _all_tenants(session, limit or _MOST_TENANTS, as_json=as_json)
    elif limit is not None:
        raise click.UsageError("--limit is for all tenants: leave --tenant out.")
    elif by is not None:
        _over_time(session, tenant, prefix, Span(by), since, as_json=as_json)
    elif since is not None:
        raise click.UsageError("--since needs --by hour, day or month.")
    else:
        _one_tenant(session, tenant, prefix, as_json=as_json)


def _one_tenant(session: Session, tenant: str, prefix: str | None, *, as_json: bool) -> None:
    report = session.run(
        lambda tools: report_usage(tools.tenants, tools.clock, tenant, key_prefix=prefix), tenant=tenant
    )
    if as_json:
        emit_json(_document(report))
        return
    print_windows(f"Budgets of {report.key_prefix or report.tenant_name}, in tokens", report.windows)
    if report.keys:
        click.echo()
        print_table("Keys", _COLUMNS, [[sums.prefix, sums.name, *_cells(sums)] for sums in report.keys])


def _over_time(
    session: Session, tenant: str, prefix: str | None, by: Span, since: datetime | timedelta | None, *, as_json: bool
) -> None:
    async def gather(tools: OperatorTools) -> Sequence[SpanUse]:
        start = as_of(since or _BACK[by], tools.clock.now()) or tools.clock.now()
        return await tools.usage.by_time(tenant, by=by, since=start, key_prefix=prefix)

    try:
        uses = session.run(gather, tenant=tenant)
    except TooManySpans as error:
        raise Failure(f"{error} Give a later --since, or a longer span with --by.") from error
    if as_json:
        emit_json({"tenant": tenant, "key": prefix, "by": by, "spans": [span_document(use) for use in uses]})
    else:
        print_over_time(f"Usage of {prefix or tenant} by {by}", by, uses)


def _all_tenants(session: Session, limit: int, *, as_json: bool) -> None:
    uses = session.run(lambda tools: tools.usage.by_tenant(limit))
    if as_json:
        emit_json([tenant_use_document(use) for use in uses])
    elif uses:
        print_by_tenant(uses)
    else:
        say("There is no tenant yet. Make one: neuronetz-gateway create-tenant --name NAME")


def _cells(sums: KeySums) -> list[str]:
    cells: list[str] = []
    for use in (sums.today, sums.month):
        cells += ["0", "0", "0"] if use is None else [number(use.requests), number(_tokens(use)), number(use.refused)]
    return cells


def _tokens(use: KeyUse) -> int:
    return use.prompt_tokens + use.output_tokens


def _document(report: UsageReport) -> Document:
    return {
        "tenant": report.tenant_name,
        "key": report.key_prefix,
        "windows": [window_document(use) for use in report.windows],
        "keys": [
            {"prefix": sums.prefix, "name": sums.name, "today": _use(sums.today), "month": _use(sums.month)}
            for sums in report.keys
        ],
    }


def _use(use: KeyUse | None) -> Document:
    counted = attrs.fields(KeyUse)
    names = [field.name for field in counted if field.name not in ("key_prefix", "key_name")]
    return {name: 0 if use is None else getattr(use, name) for name in names}
