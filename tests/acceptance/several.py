"""A gateway of several processes, watched through its log."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import msgspec

from tests.e2e.programs import Gateway, eventually

START_S = 30.0


def events(gateway: Gateway, name: str) -> list[dict[str, Any]]:
    """What the log says under one name, oldest first."""
    found: list[dict[str, Any]] = []
    for line in gateway.text().splitlines():
        if line.startswith("{") and line.endswith("}"):
            event = msgspec.json.decode(line)
            if event["event"] == name:
                found.append(event)
    return found


def wait_for(gateway: Gateway, name: str, count: int, within_s: float = START_S) -> list[dict[str, Any]]:
    """Waits until the log has said something so often."""
    for _ in eventually(within_s):
        found = events(gateway, name)
        if len(found) >= count:
            return found
    raise AssertionError("eventually fails by itself")


def living(gateway: Gateway) -> list[int]:
    """The pids of the processes that have started and not ended, by the log."""
    ended = {event["pid"] for event in events(gateway, "process_ended")}
    return [event["pid"] for event in events(gateway, "process_started") if event["pid"] not in ended]


def none_left(pids: list[int], within_s: float = 20) -> None:
    """Waits until none of these runs."""
    for _ in eventually(within_s):
        if not list(_running(pids)):
            return


def _running(pids: list[int]) -> Iterator[int]:
    for pid in pids:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            continue
        yield pid


def send(pid: int, number: signal.Signals) -> None:
    """A signal to one process."""
    os.kill(pid, number)
