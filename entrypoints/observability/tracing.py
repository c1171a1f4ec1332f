"""Traces, for operators who ask for them: `TRACES=otlp`. Without that, nothing of OpenTelemetry is even loaded.

pip install "neuronetz-gateway[traces]"
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

from domain.ports.call_observer import CallObserver
from entrypoints.settings import SettingsError
from entrypoints.version import own_version

_MISSING = (
    "TRACES is otlp, and the packages for it are not installed: "
    'run `pip install "neuronetz-gateway[traces]"`, or set TRACES to off.'
)


class Tracing(Protocol):
    """What watches calls and sends their traces."""

    @property
    def observer(self) -> CallObserver:
        """Makes the traces."""

    def aclose(self) -> Awaitable[None]:
        """Sends what it still has, in bounded time."""


def open_tracing() -> Tracing:
    """Sets up what sends traces. It connects with the first one.

    Raises:
        SettingsError: its packages are missing.
    """
    try:
        from adapters.opentelemetry.call_observer import OtlpTracing  # noqa: PLC0415  an optional extra, and slow to load
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("opentelemetry"):
            raise
        raise SettingsError([_MISSING]) from error
    return OtlpTracing(own_version())
