"""Which version of the gateway this is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

WORKING_COPY = "(a working copy)"


def own_version() -> str:
    """As it is installed."""
    try:
        return version("neuronetz-gateway")
    except PackageNotFoundError:
        return WORKING_COPY
