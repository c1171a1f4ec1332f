"""What every test may count on."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("ci", max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("nightly", max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

pytest_plugins = ["tests.stores"]

# Who is started in the background by a shell inherits that Control-C is ignored, and from nohup that a hang-up is; and
# so would every program that the tests start and then interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


_DEPTH = len(Path(__file__).parent.parts)
_LONG = ("chaos", "histories", "canaries", "soak", "bench", "e2e")
"""Folders of tests that start programs."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Long ones first, so that short ones fill the gaps at the end; and what is for the nights only when it is asked
    for by its marker.
    """
    items.sort(key=lambda item: _LONG.index(folder) if (folder := item.path.parts[_DEPTH]) in _LONG else len(_LONG))
    if "nightly" in config.getoption("markexpr", ""):
        return
    nightly = [item for item in items if item.get_closest_marker("nightly")]
    if nightly:
        items[:] = [item for item in items if item not in nightly]
        config.hook.pytest_deselected(items=nightly)
