"""Python imports this by itself when its folder is on the path: a host whose wall clock is wrong by `CLOCK_WRONG_BY_S`.

The steady clock goes on as it is: it has no date that could be wrong.
"""

# ruff: noqa: INP001  a package would not be found by that name

from __future__ import annotations

import os
import time
from datetime import datetime, timedelta

from adapters.system.clock import SystemClock

_WRONG_BY_S = float(os.environ["CLOCK_WRONG_BY_S"])
_right_time, _right_now = time.time, SystemClock.now


def _wrong_time() -> float:
    return _right_time() + _WRONG_BY_S


def _wrong_now(self: SystemClock) -> datetime:
    return _right_now(self) + timedelta(seconds=_WRONG_BY_S)


time.time = _wrong_time
SystemClock.now = _wrong_now  # type: ignore[method-assign]  # datetime asks the system itself, past `time.time`
