"""A crash at a chosen await of a chosen task: in the test's task factory, so that the product has no hook for it.

::

    the loop --> task factory --> Steps --> the product's coroutine
                                    |
                                    +-- at the n-th await since a crash was planned: raises, cancels or ends the process

An exception replaces the result of the await. So whatever the task has asked for by then may have been done, and the
task does not know: the same as an answer that was lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import Counter
from collections.abc import Callable, Coroutine, Generator, Iterator
from enum import Enum, auto
from types import TracebackType
from typing import Any

import attrs


class Unexpected(Exception):
    """What no code expects. As those of libraries do, it may repeat what it was given."""


class How(Enum):
    """What happens there."""

    RAISES = auto()
    IS_CANCELLED = auto()
    PROCESS_IS_KILLED = auto()


@attrs.define
class Crash:
    """One crash, planned."""

    where: str
    """Module and qualified name of the coroutine that the task runs."""
    nth: int
    """Which of its awaits from now on, from 0. In a task that runs already, 0 is the one that it waits in."""
    how: How = How.RAISES
    says: str = ""
    struck: bool = False

    def due(self) -> bool:
        """Whether it is this await."""
        self.nth -= 1
        return self.nth < 0 and not self.struck


@attrs.define
class Planner:
    """Plans one crash at a time; install it as the loop's task factory."""

    crash: Crash | None = None
    _running: Counter[str] = attrs.field(factory=Counter)

    def runs(self, where: str) -> bool:
        """Whether a task runs that coroutine now."""
        return self._running[where] > 0

    def plan(self, crash: Crash) -> Crash:
        """The next crash, instead of any before."""
        self.crash = crash
        return crash

    def plan_none(self) -> None:
        """From now on everything works."""
        self.crash = None

    @contextlib.contextmanager
    def at_work(self, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
        """Sees every task that begins in this loop."""
        loop.set_task_factory(self)
        try:
            yield
        finally:
            loop.set_task_factory(None)

    def __call__(
        self,
        loop: asyncio.AbstractEventLoop,
        coroutine: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
        **more: Any,
    ) -> asyncio.Future[Any]:
        """The task factory."""
        if not isinstance(coroutine, Coroutine):
            return asyncio.Task(coroutine, loop=loop, **more)
        steps = Steps(coroutine, self)
        task = asyncio.Task(steps, loop=loop, **more)
        steps.cancel = task.cancel
        self._running[steps.name] += 1
        task.add_done_callback(lambda _: self._running.subtract([steps.name]))
        return task


class Steps(Coroutine[Any, Any, Any]):
    """A coroutine, looked at between its steps."""

    def __init__(self, inner: Coroutine[Any, Any, Any], planner: Planner) -> None:
        self._inner = inner
        self._planner = planner
        self._begun = False
        self._hit_on_resume: Crash | None = None
        self._cancelled_by: Crash | None = None
        self.cancel: Callable[[], object] = lambda: None
        self.name = f"{_module_of(inner)}.{getattr(inner, '__qualname__', '?')}"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def send(self, value: Any) -> Any:
        crash = self._mine() if self._begun else None
        self._begun = True
        if crash is not None and crash.how is not How.IS_CANCELLED and crash.due():
            crash.struck = True
            if crash.how is How.PROCESS_IS_KILLED:
                os.kill(os.getpid(), signal.SIGKILL)
            return self._inner.throw(Unexpected(crash.says))
        waits_for = self._inner.send(value)
        self._cancel_if_due()
        return waits_for

    def throw(self, kind: Any, value: BaseException | object = None, traceback: TracebackType | None = None, /) -> Any:
        if value is None and traceback is None:
            waits_for = self._inner.throw(kind)
        else:
            waits_for = self._inner.throw(kind, value, traceback)
        self._cancel_if_due()
        return waits_for

    def close(self) -> None:
        self._inner.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._inner.__await__()

    def _mine(self) -> Crash | None:
        crash = self._planner.crash
        return crash if crash is not None and not crash.struck and crash.where == self.name else None

    def _cancel_if_due(self) -> None:
        """A cancellation comes while it waits, and reaches what it waits for."""
        crash = self._mine()
        if crash is not None and crash.how is How.IS_CANCELLED and crash.due():
            crash.struck = True
            asyncio.get_running_loop().call_soon(self.cancel)


def _module_of(coroutine: Coroutine[Any, Any, Any]) -> str:
    frame = getattr(coroutine, "cr_frame", None)
    return str(frame.f_globals.get("__name__")) if frame is not None else type(coroutine).__module__
