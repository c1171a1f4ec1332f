"""Logs: one JSON object a line on standard error, made by structlog, the same for ours and for libraries' lines.

No line ever holds a whole API key: what looks like one is blotted out on the last step, whoever wrote it.
"""

from __future__ import annotations

import logging
import re
import sys
from typing import Any, TextIO

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from entrypoints.settings_words import LogFormat, LogLevel

_KEY = re.compile(r"nz_[0-9A-Za-z]{20,}")
_BLOT = "nz_***"
# Without local variables: they hold prompts and backend tokens.
_TRACEBACKS = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))


def _blot(line: str) -> str:
    return _KEY.sub(_BLOT, line) if "nz_" in line else line


def _as_json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    return _blot(msgspec.json.encode(event, enc_hook=repr).decode())


class _Console:
    """Lines for a person."""

    def __init__(self, stream: TextIO) -> None:
        self._render = structlog.dev.ConsoleRenderer(colors=stream.isatty())

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> str:
        return _blot(str(self._render(logger, method, event)))


def set_up_logs(level: LogLevel, form: LogFormat, stream: TextIO | None = None) -> None:
    """Sends every log line of this process to one stream, by default standard error."""
    out = stream or sys.stderr
    threshold = logging.getLevelNamesMapping()[level.value.upper()]
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _TRACEBACKS if form is LogFormat.JSON else structlog.processors.format_exc_info,
    ]
    render: Any = _as_json if form is LogFormat.JSON else _Console(out)
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, _logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(threshold, logging.INFO))
    for chatty in ("alembic", "aiohttp", "asyncio", "httpx", "hypercorn.error", "psycopg", "psycopg.pool"):
        logging.getLogger(chatty).setLevel(max(threshold, logging.WARNING))


def _logger_name(logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    event["logger"] = logger.name if logger is not None else event["_record"].name
    return event
