"""Descriptors, each time in a process of its own: a limit that was lowered cannot be raised again."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.e2e.programs import program_environment

_PROGRAM = """
import resource, sys
from entrypoints.descriptors import room_for
soft, hard, wished = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
print(room_for(wished), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


@pytest.mark.parametrize(
    ("soft", "hard", "wished", "room", "soft_then"),
    [
        (256, 1024, 100, 100, 456),
        (1024, 1024, 100, 100, 1024),
        (256, 1024, 4096, 384, 1024),
        (64, 64, 4096, 1, 64),
    ],
)
def test_the_limit_is_raised_as_far_as_it_may_be(soft: int, hard: int, wished: int, room: int, soft_then: int) -> None:
    arguments = [sys.executable, "-c", _PROGRAM, str(soft), str(hard), str(wished)]
    said = subprocess.run(arguments, check=True, capture_output=True, env=program_environment(), timeout=30).stdout

    assert said.split() == [b"%d" % room, b"%d" % soft_then]
