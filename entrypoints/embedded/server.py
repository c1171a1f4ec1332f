"""What both servers have in common: a life of start, answer, stop, and the ways to break it.

             start()            stop()
    (down) ----------> (up) ------------> (down)
                         |  kill(), or its own death
                         +---------------> (down)       start() again finds the same files and sockets
           suspend() and resume() hold it still in between

Breaking is for fault tests; what they learn holds for the real thing because this is the real thing.
"""

from __future__ import annotations

import signal
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

import attrs

from entrypoints.embedded.account import Account
from entrypoints.embedded.child import Child, require_main_thread
from entrypoints.embedded.errors import ServerFailedError
from entrypoints.embedded.state_dir import StateDir

_POLL_S = 0.02


@attrs.frozen(kw_only=True)
class Ground:
    """What a server stands on: its directories, its account, and how patient and careful to be.

    Attributes:
        lock_fd: the locked descriptor for the server to inherit.
        durable: False gives up safety against power loss for speed, as tests may.
        ready_within_s: how long a start may take.
    """

    state: StateDir
    sockets: Path
    account: Account
    lock_fd: int
    durable: bool
    ready_within_s: float


@attrs.define(kw_only=True)
class Server(ABC):
    """One server that we start and stop."""

    title: ClassVar[str]
    farewells: ClassVar[tuple[tuple[signal.Signals, float], ...]]  # what to send, then how many seconds to wait

    ground: Ground = attrs.field(repr=False)
    _child: Child | None = attrs.field(default=None, init=False, repr=False)

    @abstractmethod
    def _spawn(self) -> Child:
        """Starts the server, and returns at once."""

    @abstractmethod
    def _answers(self) -> bool:
        """Asks whether the server serves; must come back within some two seconds."""

    @property
    def pid(self) -> int:
        """The pid of the server (PostgreSQL: the postmaster)."""
        return self._up().pid

    def start(self) -> None:
        """Starts the server and returns once it answers; nothing to do if it is up.

        Raises:
            ServerFailedError: it died, or did not answer in time; it is down then.
            WrongThreadError: not called from the main thread.
        """
        require_main_thread()
        if self._child is not None and self._child.exit_status() is None:
            return
        self._child = self._spawn()
        try:
            self._await_answer()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Ends the server in good order; nothing to do if it is down.

        Raises:
            ServerFailedError: it would not end.
        """
        child = self._child
        if child is None:
            return
        child.resume()
        for number, patience_s in self.farewells:
            child.signal(number)
            if child.wait(patience_s):
                self._child = None
                return
        raise ServerFailedError(
            f"{self.title} (pid {child.pid}) does not end.", f"See {child.log} for what it is waiting for."
        )

    def check(self) -> None:
        """Says nothing if the server is running.

        Raises:
            ServerFailedError: it has died, or is not started; with the end of its log.
        """
        child = self._up()
        status = child.exit_status()
        if status is not None:
            raise ServerFailedError(
                f"{self.title} ended by itself (exit status {status}).",
                f"Its log, {child.log}, ends with:\n{child.last_words()}",
            )

    def kill(self) -> None:
        """Breaks it: SIGKILL to the server, and its family is gone when this returns."""
        self._up().kill()
        self._child = None

    def suspend(self) -> None:
        """Breaks it: the server and its family neither answer nor die until resumed."""
        self._up().suspend()

    def resume(self) -> None:
        """Undoes `suspend`."""
        self._up().resume()

    def _up(self) -> Child:
        if self._child is None:
            raise ServerFailedError(f"{self.title} is not running.", "Start it first.")
        return self._child

    def _await_answer(self) -> None:
        deadline = time.monotonic() + self.ground.ready_within_s
        while not self._answers():
            self.check()
            if time.monotonic() > deadline:
                child = self._up()
                raise ServerFailedError(
                    f"{self.title} did not answer within {self.ground.ready_within_s:g} s.",
                    f"Its log, {child.log}, ends with:\n{child.last_words()}",
                )
            time.sleep(_POLL_S)
