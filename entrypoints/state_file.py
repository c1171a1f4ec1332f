"""`gateway.env` in the state directory: what a quickstart leaves to its next start and to other commands."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from entrypoints import env_file

STATE_FILE = "gateway.env"


def state_file(state_dir: Path) -> Path:
    """Where it is, or would be."""
    return state_dir / STATE_FILE


def kept_in(state_dir: Path) -> Mapping[str, str]:
    """The settings that are kept there; none before the first start.

    Raises:
        EnvFileError: the file cannot be read.
    """
    file = state_file(state_dir)
    return env_file.read(file) if file.exists() else {}


def keep_in(state_dir: Path, settings: Mapping[str, str]) -> None:
    """Keeps settings there, readable by us alone. The directory must be there.

    Raises:
        EnvFileError: the file cannot be changed.
    """
    for name, value in settings.items():
        env_file.rewrite(state_file(state_dir), name, partial(_instead, value))


def _instead(value: str, _former: str | None) -> str:
    return value
