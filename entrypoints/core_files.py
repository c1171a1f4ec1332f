"""No core files: a serving process has keys, prompts and passwords in its memory, and a crash would write them down."""

from __future__ import annotations

import resource


def leave_none() -> None:
    """For this process and those it starts.

    Where the kernel hands cores to a program (`core_pattern` with a pipe), that program decides, not this limit
    (core(5)).
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
