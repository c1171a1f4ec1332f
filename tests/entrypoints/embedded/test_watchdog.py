"""The leash for systems without a parent-death signal; its mechanism is the same on all of them."""

import signal
import subprocess
import sys

from entrypoints.embedded.account import Account
from entrypoints.embedded.watchdog import watch

_OWNER = """
import signal, subprocess, sys
from entrypoints.embedded.account import Account
from entrypoints.embedded.watchdog import watch
watch(int(sys.argv[1]), signal.SIGINT, Account(name="ourselves"))
print("watched", flush=True)
signal.pause()
"""


def test_the_watched_is_signalled_when_its_owner_is_killed() -> None:
    with subprocess.Popen(["/bin/sleep", "60"]) as watched:
        with subprocess.Popen(
            [sys.executable, "-c", _OWNER, str(watched.pid)],
            stdout=subprocess.PIPE,
            env={"PYTHONPATH": ":".join(sys.path)},
        ) as owner:
            assert owner.stdout is not None
            assert owner.stdout.readline() == b"watched\n"
            owner.kill()

        assert watched.wait(30) == -signal.SIGINT


def test_a_watchdog_let_go_does_not_bark() -> None:
    with subprocess.Popen(["/bin/sleep", "60"]) as watched:
        watchdog = watch(watched.pid, signal.SIGINT, Account(name="ourselves"))

        watchdog.let_go()

        assert watched.poll() is None
        watched.kill()
