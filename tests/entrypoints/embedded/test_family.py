"""The family tree of a server, on programs that are cheap to start."""

import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from entrypoints.embedded import family
from tests.entrypoints.embedded.conftest import eventually


@pytest.fixture
def grandparent() -> Iterator[subprocess.Popen[bytes]]:
    script = "(sleep 60 & wait) & wait"
    with subprocess.Popen(["/bin/sh", "-c", script]) as popen:
        try:
            assert eventually(lambda: len(family.descendants(popen.pid)) == 2, within_s=5)
            yield popen
        finally:
            everyone = family.descendants(popen.pid)
            popen.kill()
            for relative in family.living(everyone):
                os.kill(relative.pid, signal.SIGKILL)


def test_grandchildren_are_descendants_and_oneself_is_not(grandparent: subprocess.Popen[bytes]) -> None:
    pids = {relative.pid for relative in family.descendants(grandparent.pid)}

    assert grandparent.pid not in pids
    assert len(pids) == 2
    assert all(map(family.is_alive, pids))


def test_the_dead_are_not_alive_even_before_they_are_collected() -> None:
    with subprocess.Popen(["/bin/sleep", "60"]) as popen:
        (alive,) = (one for one in family.descendants(os.getpid()) if one.pid == popen.pid)

        popen.kill()

        assert eventually(lambda: not family.living(frozenset({alive})), within_s=5)
        assert not family.is_alive(popen.pid)


def test_another_program_with_the_same_pid_is_a_stranger() -> None:
    assert not family.living(frozenset({family.Relative(os.getpid(), "before the flood")}))
