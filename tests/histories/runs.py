"""Runs of the state machine."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import hypothesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.histories.house import House
from tests.histories.machine import Histories

STEPS = 50


def run(
    open_house: Callable[[datetime], House], examples: int, *, seed: int | None = None, shrinks: bool = True
) -> int:
    """How many histories there were. With a seed they are always the same."""
    opened = 0

    class Opened(Histories):
        @staticmethod
        def open_house(start: datetime) -> House:
            nonlocal opened
            opened += 1
            return open_house(start)

    phases = (Phase.generate, Phase.shrink) if shrinks else (Phase.generate,)
    machine = Opened if seed is None else hypothesis.seed(seed)(Opened)
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=STEPS,
            database=None,
            deadline=None,
            phases=phases,
            suppress_health_check=list(HealthCheck),
        ),
    )
    return opened
