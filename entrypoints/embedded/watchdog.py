"""A leash for systems that cannot tie a child's life to its parent's.

Linux sends a child a signal when its parent dies; macOS does not. There, a second small child waits for the
end of a pipe that only we hold open. However we end, kill -9 included, the kernel closes the pipe, and the
watchdog passes the signal on.

The leash itself is tested on Linux; it has not been run on macOS.
"""

from __future__ import annotations

import os
import signal
import subprocess

import attrs

from entrypoints.embedded.account import Account

_SCRIPT = 'cat >/dev/null; kill -s "$1" "$2"'


@attrs.frozen
class Watchdog:
    """A running watchdog, to be let go once the server has ended in good order."""

    _popen: subprocess.Popen[bytes] = attrs.field(repr=False)

    def let_go(self) -> None:
        """Ends the watchdog without a bark."""
        self._popen.kill()
        self._popen.communicate()


def watch(pid: int, death_signal: signal.Signals, account: Account) -> Watchdog:
    """Sends `death_signal` to `pid` when we end, in whatever way that happens."""
    return Watchdog(
        subprocess.Popen(  # noqa: S603  a fixed script, with two numbers of ours
            ["/bin/sh", "-c", _SCRIPT, "watchdog", death_signal.name.removeprefix("SIG"), str(pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
            env={"PATH": os.defpath},
            user=account.uid,
            group=account.gid,
            extra_groups=account.extra_groups,
        )
    )
