"""The programs that this process has started: each is started, signalled and waited for here, without threads.

One waitpid loop, run at each SIGCHLD, collects every end, those of strangers too: as the first process of a container
the parent inherits orphans, and nobody else would collect them. So nothing else here may wait for a child.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Sequence

import attrs


@attrs.define(eq=False)
class Program:
    """One started program."""

    _popen: subprocess.Popen[bytes] = attrs.field(repr=False)
    started_s: float
    """In the event loop's time."""
    _ended: asyncio.Future[int]

    @property
    def pid(self) -> int:
        """Its number."""
        return self._popen.pid

    @property
    def running(self) -> bool:
        """Whether its end has not been collected yet."""
        return not self._ended.done()

    async def ended(self) -> int:
        """Its exit status, negative for a signal, once it has ended."""
        return await asyncio.shield(self._ended)

    def send(self, number: signal.Signals) -> None:
        """A signal. Popen's own would wait for the child, which is not for it to do here."""
        if self.running:
            os.kill(self.pid, number)

    def output(self) -> str:
        """What it wrote to its standard output, after its end."""
        return "" if self._popen.stdout is None else self._popen.stdout.read().decode(errors="replace")

    def collected(self, status: int) -> None:
        """Its end was collected."""
        self._popen.returncode = status
        if not self._ended.done():
            self._ended.set_result(status)


class Programs:
    """All of them that still run."""

    def __init__(self) -> None:
        self._running: dict[int, Program] = {}

    def collect_ends(self) -> None:
        """From now on, ends are collected as they come."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self._collect)

    def start(self, arguments: Sequence[str], *, pass_fds: Sequence[int] = (), read: bool = False) -> Program:
        """Starts a program in a session of its own, with our environment.

        Args:
            arguments: the whole command line. It is open to everybody on the machine: no secret in it.
            pass_fds: descriptors that it inherits.
            read: whether its standard output is wanted. Little of it: nobody reads before its end.
        """
        popen = subprocess.Popen(  # noqa: S603  ourselves, with arguments of our own
            list(arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if read else None,
            pass_fds=pass_fds,
            start_new_session=True,
        )
        loop = asyncio.get_running_loop()
        program = Program(popen, loop.time(), loop.create_future())
        self._running[popen.pid] = program
        return program

    def _collect(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            program = self._running.pop(pid, None)
            if program is not None:
                program.collected(os.waitstatus_to_exitcode(status))
