"""The names in the JSON of the commands that tell what happens, taken from documents that the code makes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import attrs

from application.findings import Finding
from application.report_usage import KeySums, UsageReport
from domain.budgets import Window, WindowUse
from domain.limits import Scope
from domain.ports.turns import TurnStanding
from domain.ports.usage_reader import Activity, Flow, SpanUse, TenantFlow, TenantUse
from entrypoints.cli import usage
from entrypoints.cli.audit_lines import FIELDS
from entrypoints.cli.top_screen import Frame, document
from entrypoints.cli.usage_chart import span_document, tenant_use_document

_AT = datetime(2027, 1, 1, tzinfo=UTC)
_FLOW = Flow(calls=0, refused=0, tokens=0)
_WINDOW = WindowUse(scope=Scope.TENANT, window=Window.DAILY, used=0, held=0, limit=None, starts=_AT, ends=None)
_REPORT = UsageReport(
    tenant_name="", key_prefix=None, windows=[_WINDOW], keys=[KeySums(prefix="", name="", today=None, month=None)]
)
_TENANT = TenantUse(tenant_name="", state="", today=0, daily=None, this_month=0, monthly=None, held=0)
_SPAN = SpanUse(starts=_AT, calls=0, prompt_tokens=0, output_tokens=0, refused=0)
_FRAME = Frame(
    activity=Activity(
        at=_AT,
        gateways=0,
        in_flight=0,
        oldest_s=None,
        ten_seconds=_FLOW,
        minute=_FLOW,
        tenants=[TenantFlow(tenant_name="", in_flight=0, minute=_FLOW, today=0, daily=None)],
        backends=[],
    ),
    standing=TurnStanding(in_flight={}, waiting=0),
    at_once={"": 0},
    healthy={},
)


def json_fields() -> str:
    """A table: of each command the names, those within a list behind `[]`."""
    documents: Mapping[str, object] = {
        "usage": [tenant_use_document(_TENANT)],
        "usage --tenant": usage._document(_REPORT),
        "usage --tenant --by": {"tenant": "", "key": None, "by": "", "spans": [span_document(_SPAN)]},
        "top": document(_FRAME),
        "doctor": [dict.fromkeys(attrs.fields_dict(Finding))],
        "audit": [dict.fromkeys(FIELDS)],
    }
    rows = [f"| `{name}` | {', '.join(f'`{path}`' for path in _paths(made))} |" for name, made in documents.items()]
    return "\n".join(["| with `--json` | names |", "|---|---|", *rows, ""])


def _paths(value: object, before: str = "") -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _paths(inner, f"{before}.{name}".lstrip("."))
    elif isinstance(value, list):
        yield from _paths(value[0], f"{before}[]")
    else:
        yield before
