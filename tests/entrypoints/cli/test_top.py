"""What `top` shows, and that it fits."""

from __future__ import annotations

import asyncio
import io
import json
import os
import pty
import termios
from datetime import UTC, datetime

import pytest
from rich.console import Console

from domain.ports.turns import TurnStanding
from domain.ports.usage_reader import Activity, BackendFlow, Flow, TenantFlow
from entrypoints.cli.top import q_pressed
from entrypoints.cli.top_screen import Frame, screen
from tests.entrypoints.cli.conftest import Desk
from tests.entrypoints.cli.test_policies_and_usage import key_of


def test_once_shows_plain_lines(acme: Desk) -> None:
    acme("set-budgets", "--tenant", "acme", "--daily", "1000")
    acme.register.use_today("acme", used=600, held=0)
    acme.register.call_with(key_of(acme), prompt_tokens=500, output_tokens=100)
    acme.usage.gateways = 2

    lines = acme("top", "--once").stdout.splitlines()

    assert lines[0] == "neuronetz-gateway   2027-01-15 08:00:00 UTC   gateways alive: 2"
    assert lines[1] == "In flight: 0   waiting: -"
    assert lines[2].split() == ["Last", "10", "s:", "0.1", "calls/s", "0.1", "refused/s", "60.0", "tokens/s"]
    assert lines[6].split() == ["default", "healthy", "-", "4", "0.0", "0.0"]
    assert lines[9].split() == ["acme", "0", "1", "600", "60%", "1"]


def test_a_backend_that_is_down_is_said(acme: Desk) -> None:
    acme.down = True

    assert "down" in acme("top", "--once").stdout


def test_programs_get_a_document(acme: Desk) -> None:
    acme("set-budgets", "--tenant", "acme", "--daily", "1000")
    acme.register.use_today("acme", used=500, held=100)
    acme.register.call_with(key_of(acme), prompt_tokens=500, output_tokens=100)

    shown = json.loads(acme("top", "--json").stdout)

    assert shown["last_10_s"] == shown["last_60_s"] == {"calls": 1, "refused": 1, "tokens": 600}
    assert shown["backends"][0] | {"tokens_10_s": 0} == {
        "name": "default",
        "healthy": True,
        "in_flight": None,
        "at_once": 4,
        "tokens_10_s": 0,
        "tokens_60_s": 0,
    }
    assert shown["tenants"] == [
        {
            "tenant": "acme",
            "in_flight": 0,
            "last_60_s": {"calls": 1, "refused": 1, "tokens": 600},
            "tokens_today_with_held": 600,
            "daily_budget": 1000,
        }
    ]


def test_what_usage_names_too_has_the_same_name(acme: Desk) -> None:
    acme.register.call_with(key_of(acme), prompt_tokens=500, output_tokens=100)

    (of_top,) = json.loads(acme("top", "--json").stdout)["tenants"]
    (of_usage,) = json.loads(acme("usage", "--json").stdout)

    assert of_top.keys() & of_usage.keys() == {"tenant", "daily_budget"}


@pytest.mark.parametrize(("width", "height"), [(80, 24), (140, 40)])
def test_a_full_house_fits_the_screen(width: int, height: int) -> None:
    flow = Flow(calls=123_456, refused=7_890, tokens=98_765_432)
    names = ["gpu-of-the-left-rack", "gpu-of-the-right-rack"]
    frame = Frame(
        activity=Activity(
            at=datetime(2027, 1, 15, 8, tzinfo=UTC),
            gateways=12,
            in_flight=345,
            oldest_s=1234.5,
            ten_seconds=flow,
            minute=flow,
            tenants=[
                TenantFlow(tenant_name=f"a-tenant-{nth}" * 9, in_flight=99, minute=flow, today=10, daily=100)
                for nth in range(50)
            ],
            backends=[BackendFlow(backend=name, ten_seconds=123_456, minute=1_234_567) for name in names],
        ),
        standing=TurnStanding(in_flight=dict.fromkeys(names, 4), waiting=77),
        at_once=dict.fromkeys(names, 4),
        healthy={names[0]: True},
    )
    console = Console(width=width, height=height, record=True, file=io.StringIO())

    console.print(screen(frame, height))

    lines = console.export_text().rstrip("\n").splitlines()
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    assert sum("98,765,432" in line and "10%" in line and "7,890" in line for line in lines) >= 3
    assert "waiting: 77" in lines[1]
    assert "not asked" in "\n".join(lines)


@pytest.mark.parametrize("typed", [b"q", b"Q", b"xq", b"\x1b[Aq"])
async def test_q_leaves_whatever_was_typed_before_it_and_the_terminal_is_as_it_was(typed: bytes) -> None:
    terminal, keys = pty.openpty()
    before = termios.tcgetattr(keys)

    with q_pressed(keys) as left:
        os.write(terminal, typed)
        await asyncio.wait_for(left.wait(), 10)

    assert termios.tcgetattr(keys) == before
    os.close(terminal)
    os.close(keys)
