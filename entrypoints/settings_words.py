"""Settings that are one word of a few."""

from __future__ import annotations

from enum import StrEnum


class LogLevel(StrEnum):
    """What is logged: this and everything graver."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """How a log line is written."""

    JSON = "json"
    CONSOLE = "console"


class Traces(StrEnum):
    """Where traces are sent."""

    OFF = "off"
    OTLP = "otlp"


class OnHangUp(StrEnum):
    """What becomes of a call at its backend when its client leaves."""

    CUT = "cut"
    DRAIN = "drain"


class HttpParser(StrEnum):
    """Who reads HTTP/1."""

    HTTPTOOLS = "httptools"
    H11 = "h11"
