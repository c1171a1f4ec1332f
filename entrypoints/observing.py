"""Logs: one JSON object a line on standard error, made by structlog, the same for ours and for libraries' lines.

No line ever holds a whole API key: what looks like one is blotted out on the last step, whoever wrote it. Nor does one
hold the text of an error that nobody expected (`tracebacks.py`).
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import sys
from pathlib import Path
from typing import Any, TextIO

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from domain.keys import blotted
from entrypoints.settings_words import LogFormat, LogLevel
from entrypoints.tracebacks import as_objects, as_text

_OBJECTS_OF_ASYNCIO = re.compile(r"<.*>", re.DOTALL)
"""Tasks and futures, whose text has the results and errors that they carry."""


def _as_json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    try:
        line = msgspec.json.encode(event, enc_hook=repr).decode()
    except UnicodeEncodeError:  # half a surrogate pair, as file names have it that are no text
        line = json.dumps(event, default=repr)
    return blotted(line)


class _Console:
    """Lines for a person."""

    def __init__(self, stream: TextIO) -> None:
        self._render = structlog.dev.ConsoleRenderer(colors=stream.isatty())

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> str:
        return blotted(str(self._render(logger, method, event)))


class _Printed(structlog.PrintLogger):
    """Prints lines. One that cannot be written, to a full disk or to nobody, is lost, and the work goes on."""

    def msg(self, message: str) -> None:
        with contextlib.suppress(OSError):
            super().msg(message)

    log = debug = info = warn = warning = msg
    fatal = failure = err = error = critical = exception = msg


def set_up_logs(level: LogLevel, form: LogFormat, stream: TextIO | None = None) -> None:
    """Sends every log line of this process to one stream, by default standard error."""
    # There is no standard error when whoever started us has closed it.
    out = stream or sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115  open as long as the program runs
    threshold = logging.getLevelNamesMapping()[level.value.upper()]
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.ExceptionRenderer(as_objects if form is LogFormat.JSON else as_text),
    ]
    render: Any = _as_json if form is LogFormat.JSON else _Console(out)
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=lambda *_: _Printed(out),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, _logger_name, _without_objects],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(threshold, logging.INFO))
    for chatty in ("alembic", "aiohttp", "asyncio", "httpx", "hypercorn.error", "psycopg", "psycopg.pool"):
        logging.getLogger(chatty).setLevel(max(threshold, logging.WARNING))


def _without_objects(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """What asyncio says of a task that nobody has awaited, or that took long."""
    if event["logger"] == "asyncio":
        event["event"] = _OBJECTS_OF_ASYNCIO.sub("<withheld>", str(event["event"]))
    return event


def _logger_name(logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    event["logger"] = logger.name if logger is not None else event["_record"].name
    return event
