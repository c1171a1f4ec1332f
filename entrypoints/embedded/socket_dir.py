"""A short, private directory for the servers' unix sockets.

Sockets instead of ports: nothing to collide with, nothing reachable from another machine or, with a
directory of mode 0700, by another user of this one. They cannot live in the state directory, because the
kernel keeps socket addresses in some hundred bytes and state directories are often deeper than that.

/tmp is everybody's, and the name is no secret, so somebody may have been there first. A directory that is
not ours, or that others may enter, is refused; only the sticky bit of /tmp then keeps it ours.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path

from entrypoints.embedded.account import Account
from entrypoints.embedded.errors import StateDirError
from entrypoints.embedded.state_dir import StateDir

# The longest address less its final zero byte. Source: unix(7) on Linux; sys/un.h on macOS.
_LONGEST_ADDRESS_BYTES = 103 if sys.platform == "darwin" else 107
_LONGEST_SOCKET_NAME_BYTES = len("/.s.PGSQL.65535")


def choose_socket_dir(
    state: StateDir,
    account: Account,
    environ: Mapping[str, str],
    tmp: Path = Path("/tmp"),  # noqa: S108  checked  # nosec B108
) -> Path:
    """Says which directory belongs to this state directory; the same one every time."""
    digest = hashlib.sha256(os.fsencode(state.root)).hexdigest()[:8]
    runtime = Path(environ.get("XDG_RUNTIME_DIR", ""))
    preferred = runtime / f"nzgw-{digest}"
    if account.uid is None and _is_private(runtime, account) and _is_short(preferred):
        return preferred
    return tmp / f"nzgw-{os.geteuid()}-{digest}"


def open_socket_dir(path: Path, account: Account) -> None:
    """Makes the directory, or checks that it is ours alone, and clears it of an earlier run's sockets.

    To be called under the lock, so that what lies there belongs to nobody alive.

    Raises:
        StateDirError: its path is too long, or it is somebody else's.
    """
    if not _is_short(path):
        raise StateDirError(f"The path {path} is too long for a unix socket.", "Set XDG_RUNTIME_DIR to a short one.")
    try:
        path.mkdir(mode=0o700)
        account.adopt(path)
    except FileExistsError:
        _require_ours(path, account)
        clear(path)
    except OSError as error:
        raise StateDirError(
            f"The socket directory {path} cannot be made: {error.strerror}.",
            "Set XDG_RUNTIME_DIR to a directory of yours.",
        ) from error


def clear(path: Path) -> None:
    """Removes the sockets and PostgreSQL's lock files beside them."""
    for leftover in path.iterdir():
        leftover.unlink()


def remove_socket_dir(path: Path) -> None:
    """Takes the directory away once the servers have ended."""
    with contextlib.suppress(FileNotFoundError):
        clear(path)
        path.rmdir()


def _is_short(path: Path) -> bool:
    return len(os.fsencode(path)) + _LONGEST_SOCKET_NAME_BYTES <= _LONGEST_ADDRESS_BYTES


def _is_private(path: Path, account: Account) -> bool:
    if not path.is_absolute() or not path.is_dir():
        return False
    found = path.lstat()
    return found.st_uid == account.owner_uid and not found.st_mode & (stat.S_IRWXG | stat.S_IRWXO)


def _require_ours(path: Path, account: Account) -> None:
    found = path.lstat()
    if found.st_uid == os.geteuid() != account.owner_uid and stat.S_ISDIR(found.st_mode):
        account.adopt(path)
        found = path.lstat()
    private = not found.st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    if found.st_uid != account.owner_uid or not stat.S_ISDIR(found.st_mode) or not private:
        raise StateDirError(
            f"The socket directory {path} is not ours alone (uid {found.st_uid}, {stat.filemode(found.st_mode)}).",
            "Find out who made it and remove it, or set XDG_RUNTIME_DIR to a directory of yours.",
        )
