"""One server as our direct child, which cannot outlive us.

The kernel is asked (PR_SET_PDEATHSIG) to signal the server when we die, so that not even kill -9 of the
gateway leaves an orphan. Five conditions come with it, each learnt from a failure:

- it is asked after the change of user, which would erase it; Popen's order is right for that;
- it fires when the *thread* that forked ends, so only the main thread may start a server;
- the parent may die between fork and the request, so the child then looks whether it is still there;
- a child inherits our blocked signals, so they are unblocked for it;
- the server must not go to the background by itself, or it is nobody's child.

A session of its own keeps the terminal's Ctrl-C away from the server: the application drains first and
then stops it. The lock file's descriptor is passed on, so the state directory stays locked until the last
program that may write there has ended, not just until we have.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs

from entrypoints.embedded import family
from entrypoints.embedded.account import Account
from entrypoints.embedded.errors import ServerFailedError, WrongThreadError
from entrypoints.embedded.watchdog import Watchdog, watch

_PR_SET_PDEATHSIG = 1  # Source: linux/prctl.h
_POLL_S = 0.02
_TAIL_LINES = 12
_TAIL_BYTES = 16 * 1024
_LONGEST_LOG_BYTES = 16 * 1024 * 1024
_ORPHANS_PATIENCE_S = 5.0


@attrs.define
class Child:
    """A started server: signals to it, its end, and the end of its log."""

    log: Path
    _popen: subprocess.Popen[bytes] = attrs.field(repr=False)
    _log_start_bytes: int
    _watchdog: Watchdog | None

    @property
    def pid(self) -> int:
        """The server's pid (PostgreSQL: the postmaster's)."""
        return self._popen.pid

    def exit_status(self) -> int | None:
        """None while it runs; then its exit status, negative for a signal."""
        return self._popen.poll()

    def signal(self, number: signal.Signals) -> None:
        """Signals the server itself, not its family."""
        self._popen.send_signal(number)

    def wait(self, patience_s: float) -> bool:
        """Waits for the end; says whether it came."""
        try:
            self._popen.wait(patience_s)
        except subprocess.TimeoutExpired:
            return False
        if self._watchdog is not None:
            self._watchdog.let_go()
            self._watchdog = None
        return True

    def suspend(self) -> None:
        """Stops the server and its family in their tracks; the server first, so that it has no more children."""
        self.signal(signal.SIGSTOP)
        _signal_all(family.descendants(self.pid), signal.SIGSTOP)

    def resume(self) -> None:
        """Lets all of it run on."""
        _signal_all(family.descendants(self.pid), signal.SIGCONT)
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        """Ends the server with SIGKILL, as a fault would, and waits until its family is gone too."""
        self.signal(signal.SIGSTOP)
        orphans = family.descendants(self.pid)
        self.signal(signal.SIGKILL)
        self.wait(_ORPHANS_PATIENCE_S)
        _signal_all(orphans, signal.SIGCONT)
        if not _gone(orphans, _ORPHANS_PATIENCE_S):
            _signal_all(family.living(orphans), signal.SIGKILL)
            _gone(orphans, _ORPHANS_PATIENCE_S)

    def last_words(self) -> str:
        """The end of what this run wrote to its log."""
        with self.log.open("rb") as log:
            log.seek(max(self._log_start_bytes, self.log.stat().st_size - _TAIL_BYTES))
            lines = log.read().decode(errors="replace").splitlines()
        return "\n".join(lines[-_TAIL_LINES:])


def require_main_thread() -> None:
    """Refuses to start a server from a thread, with which it would die.

    Raises:
        WrongThreadError: this is not the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        raise WrongThreadError(
            "The stores live only as long as the thread that starts them.", "Start them from the main thread."
        )


def require_no_event_loop() -> None:
    """Refuses to start where the seconds this takes would stand in everybody's way.

    Raises:
        WrongThreadError: an event loop is running in this thread.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise WrongThreadError(
        "An event loop is running, and starting the stores would block it.", "Start them before the loop."
    )


def spawn(argv: Sequence[str], *, account: Account, lock_fd: int, log: Path, death_signal: signal.Signals) -> Child:
    """Starts a server that gets `death_signal` when we die."""
    log_start_bytes = _trim(log)
    with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as output:
        popen = subprocess.Popen(  # noqa: S603  binaries and arguments chosen by us
            [*account.prefix, *argv],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd="/",
            env=_clean_environment(),
            pass_fds=(lock_fd,),
            user=account.uid,
            group=account.gid,
            extra_groups=account.extra_groups,
            preexec_fn=_tied_to_us(death_signal),  # noqa: PLW1509  two system calls, from the main thread only
        )
    leash = None if _kernel_ties_children() else watch(popen.pid, death_signal, account)
    return Child(log, popen, log_start_bytes, leash)


def run_tool(
    argv: Sequence[str], *, account: Account, patience_s: float, lock_fd: int | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs a program of the servers to its end, as the account, and returns what it said.

    Raises:
        OSError: it cannot be run at all.
        ServerFailedError: it did not end in time.
    """
    try:
        return subprocess.run(  # noqa: S603  binaries and arguments chosen by us
            [*account.prefix, *argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            timeout=patience_s,
            start_new_session=True,
            cwd="/",
            env=_clean_environment(),
            pass_fds=() if lock_fd is None else (lock_fd,),
            user=account.uid,
            group=account.gid,
            extra_groups=account.extra_groups,
            preexec_fn=_tied_to_us(signal.SIGKILL),
        )
    except subprocess.TimeoutExpired as timeout:
        raise ServerFailedError(
            f"{Path(argv[0]).name} did not finish within {patience_s:.0f} s.", "Is the disk very slow or full?"
        ) from timeout


def _clean_environment() -> dict[str, str]:
    # Built, not inherited: PGPORT, PGDATA, LD_PRELOAD and friends of the caller must not reach a server.
    locale = "C" if sys.platform == "darwin" else "C.UTF-8"
    return {"PATH": os.defpath, "LC_ALL": locale, "TZ": "UTC"}


def _kernel_ties_children() -> bool:
    return sys.platform.startswith("linux")


def _tied_to_us(death_signal: signal.Signals) -> Callable[[], None] | None:
    if not _kernel_ties_children():
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def tie() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, ())  # a signal we block would not end the server
        if prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0) != 0 or os.getppid() != parent:
            os._exit(1)

    return tie


def _trim(log: Path) -> int:
    """Puts an overlong log aside, keeping one old one, and returns where this run's lines will start."""
    size_bytes = log.stat().st_size if log.exists() else 0
    if size_bytes <= _LONGEST_LOG_BYTES:
        return size_bytes
    log.replace(log.with_suffix(".log.1"))
    return 0


def _signal_all(relatives: frozenset[family.Relative], number: signal.Signals) -> None:
    for relative in family.living(relatives):
        try:
            os.kill(relative.pid, number)
        except ProcessLookupError:
            continue


def _gone(relatives: frozenset[family.Relative], patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while family.living(relatives):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True
