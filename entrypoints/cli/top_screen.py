"""What `top` shows: one frame as a screen, as plain lines, or as a JSON document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC

import attrs
import rich_click as click
from rich.console import Group
from rich.text import Text

from domain.ports.turns import TurnStanding
from domain.ports.usage_reader import Activity, BackendFlow, Flow, TenantFlow
from entrypoints.cli.printing import Cell, Column, drawn, number, print_table, visible
from entrypoints.cli.shapes import Document
from entrypoints.cli.usage_chart import percent

_BACKENDS = [
    Column("Backend", cut=True),
    Column("State", whole=True),
    Column("In flight", "right"),
    Column("At once", "right"),
    Column("Tokens/s\n10 s", "right"),
    Column("Tokens/s\n60 s", "right"),
]
_TENANTS = [
    Column("Tenant", cut=True),
    Column("In flight", "right"),
    Column("Calls/min", "right"),
    Column("Tokens/min", "right"),
    Column("of day's\nbudget", "right"),
    Column("Refused/min", "right"),
]
_LINES_BESIDE_ROWS = 13
"""Head, two tables' heads, and what stands between them."""
LEAST_TENANTS = 3


@attrs.frozen(kw_only=True)
class Frame:
    """Everything of one moment."""

    activity: Activity
    standing: TurnStanding | None
    """None when Redis cannot tell."""
    at_once: Mapping[str, int]
    """How many calls each backend is given, in the operator's order."""
    healthy: Mapping[str, bool]
    """Of those that have been asked."""
    trouble: str = ""
    """Why this frame is an old one."""


def tenants_that_fit(height: int, backends: int) -> int:
    """How many rows of tenants a screen of that many lines has room for."""
    return max(LEAST_TENANTS, height - _LINES_BESIDE_ROWS - backends)


def screen(frame: Frame, height: int) -> Group:
    """For a terminal of that many lines."""
    tenants = _tenant_rows(frame)[: tenants_that_fit(height, len(frame.at_once))]
    head = [Text(line) for line in _head(frame)]
    head[0].stylize("bold")
    return Group(
        *head,
        Text(frame.trouble or "q leaves", style="yellow" if frame.trouble else "dim"),
        drawn("", _BACKENDS, _backend_rows(frame)),
        Text(""),
        drawn("", _TENANTS, tenants) if tenants else Text("No tenant does anything."),
    )


def print_frame(frame: Frame) -> None:
    """As plain lines, once."""
    for line in _head(frame):
        click.echo(line)
    click.echo()
    print_table("Backends", _BACKENDS, _backend_rows(frame))
    if frame.activity.tenants:
        click.echo()
        print_table("Tenants", _TENANTS, _tenant_rows(frame))


def document(frame: Frame) -> Document:
    """For programs."""
    activity = frame.activity
    return {
        "at": activity.at,
        "gateways": activity.gateways,
        "in_flight": activity.in_flight,
        "oldest_s": activity.oldest_s,
        "waiting": None if frame.standing is None else frame.standing.waiting,
        "last_10_s": attrs.asdict(activity.ten_seconds),
        "last_60_s": attrs.asdict(activity.minute),
        "backends": [
            {
                "name": name,
                "healthy": frame.healthy.get(name),
                "in_flight": _taken(frame, name),
                "at_once": at_once,
                "tokens_10_s": _flow_of(frame, name).ten_seconds,
                "tokens_60_s": _flow_of(frame, name).minute,
            }
            for name, at_once in frame.at_once.items()
        ],
        "tenants": [_tenant_document(flow) for flow in activity.tenants],
    }


def _tenant_document(flow: TenantFlow) -> Document:
    """What `usage` shows too has the same name there."""
    return {
        "tenant": flow.tenant_name,
        "in_flight": flow.in_flight,
        "last_60_s": attrs.asdict(flow.minute),
        "tokens_today_with_held": flow.today,
        "daily_budget": flow.daily,
    }


def _head(frame: Frame) -> Sequence[str]:
    activity = frame.activity
    oldest = "" if activity.oldest_s is None else f" (the oldest for {activity.oldest_s:,.0f} s)"
    now = f"{activity.at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    waiting = "-" if frame.standing is None else number(frame.standing.waiting)
    return [
        f"neuronetz-gateway   {now}   gateways alive: {activity.gateways}",
        f"In flight: {number(activity.in_flight)}{oldest}   waiting: {waiting}",
        f"Last 10 s: {_rates(activity.ten_seconds, 10)}",
        f"Last 60 s: {_rates(activity.minute, 60)}",
    ]


def _rates(flow: Flow, seconds: int) -> str:
    return (
        f"{flow.calls / seconds:7,.1f} calls/s {flow.refused / seconds:7,.1f} refused/s"
        f" {flow.tokens / seconds:10,.1f} tokens/s"
    )


def _backend_rows(frame: Frame) -> list[Sequence[Cell]]:
    return [
        [
            name,
            _STATES[frame.healthy.get(name)],
            number(_taken(frame, name)),
            number(at_once),
            f"{_flow_of(frame, name).ten_seconds / 10:,.1f}",
            f"{_flow_of(frame, name).minute / 60:,.1f}",
        ]
        for name, at_once in frame.at_once.items()
    ]


_STATES = {True: "healthy", False: "down", None: "not asked"}


def _tenant_rows(frame: Frame) -> list[Sequence[Cell]]:
    return [
        [
            visible(flow.tenant_name),
            number(flow.in_flight),
            number(flow.minute.calls),
            number(flow.minute.tokens),
            percent(flow.today, flow.daily),
            number(flow.minute.refused),
        ]
        for flow in frame.activity.tenants
    ]


def _taken(frame: Frame, backend: str) -> int | None:
    return None if frame.standing is None else frame.standing.in_flight.get(backend, 0)


def _flow_of(frame: Frame, backend: str) -> BackendFlow:
    flows = {flow.backend: flow for flow in frame.activity.backends}
    return flows.get(backend, BackendFlow(backend=backend, ten_seconds=0, minute=0))
