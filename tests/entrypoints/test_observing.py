from __future__ import annotations

import asyncio
import errno
import gc
import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest
import structlog

from entrypoints.observing import set_up_logs
from entrypoints.settings_words import LogFormat, LogLevel
from tests.e2e.programs import program_environment

KEY = "nz_" + "a1B2" * 12


@pytest.fixture(params=list(LogFormat))
def lines(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """What the logs say, in either form; afterwards they are as they were."""
    before = logging.getLogger().handlers[:], logging.getLogger().level
    out = io.StringIO()
    set_up_logs(LogLevel.INFO, request.param, out)
    yield out
    logging.getLogger().handlers, level = before
    logging.getLogger().setLevel(level)
    structlog.reset_defaults()


def fail(prompt: str) -> None:
    token = "a-backend-token"
    raise ValueError(f"{len(prompt)} and {len(token)}")


def test_a_traceback_shows_no_local_variable(lines: io.StringIO) -> None:
    try:
        fail("a-prompt")
    except ValueError:
        structlog.get_logger("neuronetz").exception("failed")
        logging.getLogger("elsewhere").exception("failed too")

    said = lines.getvalue()
    assert "ValueError" in said
    assert "a-prompt" not in said.replace('fail("a-prompt")', "")
    assert '"a-backend-token"' not in said.replace('token = "a-backend-token"', "")


def test_no_line_holds_a_whole_key(lines: io.StringIO) -> None:
    structlog.get_logger("neuronetz").info("seen", text=f"Bearer {KEY}")
    logging.getLogger("elsewhere").warning("seen %s", KEY)

    assert KEY not in lines.getvalue()
    assert lines.getvalue().count("nz_***") == 2


@pytest.mark.parametrize("lines", [LogFormat.JSON], indirect=True)
def test_every_line_is_one_json_object(lines: io.StringIO) -> None:
    structlog.get_logger("neuronetz").info("two\nlines", text="a\x1b[31mred\nword", thing=object())
    logging.getLogger("elsewhere").warning("a library's\nline")

    for line in lines.getvalue().splitlines():
        assert {"event", "level", "timestamp"} <= json.loads(line).keys()


def test_a_line_that_is_no_unicode_is_written_all_the_same(lines: io.StringIO) -> None:
    structlog.get_logger("neuronetz").info("seen", path="odd \udcff", thing=object())

    assert "udcff" in lines.getvalue()


class _FullDisk(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, f"{len(text)} bytes too many")


@pytest.mark.usefixtures("lines")
def test_a_log_that_cannot_be_written_harms_nobody() -> None:
    set_up_logs(LogLevel.INFO, LogFormat.JSON, _FullDisk())

    structlog.get_logger("neuronetz").info("seen")
    structlog.get_logger("neuronetz").bind(key=1).critical("seen")


_LOGS = """
import structlog
from entrypoints.observing import set_up_logs
from entrypoints.settings_words import LogFormat, LogLevel
for form in LogFormat:
    set_up_logs(LogLevel.INFO, form)
    structlog.get_logger("neuronetz").info("seen")
"""


def test_a_program_whose_outputs_are_closed_runs_all_the_same() -> None:
    closed = ["/bin/sh", "-c", 'exec "$0" -c "$1" <&- >&- 2>&-', sys.executable, _LOGS]

    assert subprocess.run(closed, env=program_environment(), timeout=30, check=False).returncode == 0


def test_an_error_that_nobody_awaited_is_logged_without_its_text(lines: io.StringIO) -> None:
    async def leave_alone() -> None:
        task = asyncio.create_task(asyncio.to_thread(fail, "a-prompt"))
        await asyncio.wait([task])
        del task
        gc.collect()

    asyncio.run(leave_alone())

    assert "Task exception was never retrieved" in lines.getvalue()
    assert "ValueError" in lines.getvalue()
    assert "8 and 15" not in lines.getvalue()
