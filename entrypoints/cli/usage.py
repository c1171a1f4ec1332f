"""The command that shows what was used and what is left."""

from __future__ import annotations

import attrs
import rich_click as click

from application.report_usage import KeySums, UsageReport, report_usage
from domain.ports.registers import KeyUse
from entrypoints.cli.policies import key_option
from entrypoints.cli.printing import Column, emit_json, examples, json_option, number, print_table
from entrypoints.cli.session import Session
from entrypoints.cli.shapes import Document, window_document
from entrypoints.cli.tenants import tenant_option
from entrypoints.cli.window_tables import print_windows

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


@click.command("usage", epilog=examples("neuronetz-gateway usage --tenant acme"))
@tenant_option
@key_option
@json_option
@click.pass_obj
def usage(session: Session, *, tenant: str, prefix: str | None, as_json: bool) -> None:
    """Show what a tenant or key has used of its budgets, what running calls hold, and what is left."""
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
