"""The directory that outlives a run, and the lock that keeps it to one gateway at a time.

    STATE/lock             locked while we, or any server of ours, are alive
          password         of the database; 0600
          valkey.version   which server wrote valkey/
          pgdata/          PostgreSQL's files; complete if it is there at all
          pgdata.tmp/      an initdb under way, or one that was interrupted
          valkey/          Valkey's append-only file
          binaries/        copies of the servers, only when root's own cannot be reached
          *.log            what the servers said

The lock is the only guard that Valkey has: a second server takes over a live socket without a word. It is
an flock whose descriptor the servers inherit. After a kill -9 of the gateway they need a moment to write
their last; the next start then waits for them instead of failing, for the lock is theirs until they end.

Under root the directory stays root's, and the account may only pass through it to what it owns.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import attrs

from entrypoints.embedded import family
from entrypoints.embedded.account import Account
from entrypoints.embedded.errors import AlreadyRunningError, StateDirError

STATE_HOME_VARIABLE = "XDG_STATE_HOME"
_NAME = "neuronetz-gateway"
_LOCK = "lock"
_POLL_S = 0.05


@attrs.frozen
class StateDir:
    """Where everything is, in one state directory."""

    root: Path

    @property
    def lock(self) -> Path:
        """The lock file; holds the pid of whoever took it last."""
        return self.root / _LOCK

    @property
    def password(self) -> Path:
        """The database password."""
        return self.root / "password"

    @property
    def valkey_version(self) -> Path:
        """The record of the server that wrote `valkey_dir`."""
        return self.root / "valkey.version"

    @property
    def cluster(self) -> Path:
        """PostgreSQL's files."""
        return self.root / "pgdata"

    @property
    def valkey_dir(self) -> Path:
        """Valkey's files."""
        return self.root / "valkey"

    @property
    def binaries(self) -> Path:
        """Copies of the servers, if any were needed."""
        return self.root / "binaries"

    def log(self, server: str) -> Path:
        """The log file of a server."""
        return self.root / f"{server}.log"


def default_state_dir(environ: Mapping[str, str], *, as_root: bool) -> Path:
    """Says where state is kept when nobody says otherwise.

    Root's is not under root's home: the account that runs the servers could not get there.
    Source: XDG Base Directory Specification 0.8, which has relative paths ignored.
    """
    xdg = Path(environ.get(STATE_HOME_VARIABLE, ""))
    if xdg.is_absolute():
        return xdg / _NAME
    if as_root:
        return Path("/var/lib") / _NAME
    try:
        return Path.home() / ".local" / "state" / _NAME
    except RuntimeError as error:
        raise StateDirError("There is no home directory to keep state in.", f"Set {STATE_HOME_VARIABLE}.") from error


def open_state_dir(path: Path, account: Account) -> StateDir:
    """Makes the state directory, or checks that it is one of ours, and sets its mode.

    Raises:
        StateDirError: it cannot be made, or holds something else.
    """
    state = StateDir(path.absolute())
    try:
        state.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        _require_ours_or_empty(state)
        state.root.chmod(0o700 if account.gid is None else 0o710)
        if account.gid is not None:
            os.chown(state.root, 0, account.gid)
    except OSError as error:
        raise StateDirError(
            f"The state directory {state.root} cannot be used: {error.strerror}.",
            "Name another one, or correct its owner and mode.",
        ) from error
    return StateDir(state.root.resolve())


def _require_ours_or_empty(state: StateDir) -> None:
    if not any(state.root.iterdir()):
        return
    if not state.lock.exists():
        raise StateDirError(
            f"{state.root} is not empty and holds no state of ours.", "Name an empty or a new directory."
        )
    owner = state.root.stat().st_uid
    if owner != os.geteuid():
        raise StateDirError(f"{state.root} belongs to uid {owner}.", "Start as its owner, or name another one.")


def own_dir(path: Path, account: Account) -> None:
    """Makes a private directory for the account.

    Raises:
        StateDirError: it is there, but somebody else's; say, after a run under another account.
    """
    try:
        path.mkdir(mode=0o700)
        account.adopt(path)
    except FileExistsError:
        if path.lstat().st_uid == os.geteuid() and not any(path.iterdir()):
            account.adopt(path)  # an earlier start ended between the two steps above
        owner = path.lstat().st_uid
        if owner != account.owner_uid:
            raise StateDirError(
                f"{path} belongs to uid {owner}, not to {account.name}.",
                f"Run the stores as its owner, or give it away: chown -R {account.owner_uid} {path}",
            ) from None


@contextlib.contextmanager
def exclusively(
    state: StateDir,
    on_step: Callable[[str], None],
    *,
    patience_with_the_living_s: float = 2.0,
    patience_with_the_dying_s: float = 30.0,
) -> Iterator[int]:
    """Holds the state directory's lock; yields the descriptor for the servers to inherit.

    Args:
        state: whose lock.
        on_step: is told when there is something to wait for.
        patience_with_the_living_s: how long another gateway that is running may take to go away.
        patience_with_the_dying_s: how long the servers of one that is gone may take to follow it.

    Raises:
        AlreadyRunningError: another gateway has it, or its servers do not come to an end.
    """
    try:
        lock_fd = os.open(state.lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise StateDirError(
            f"{state.lock} cannot be opened: {error.strerror}.", "Correct its owner, or name another directory."
        ) from error
    try:
        _take(lock_fd, state, on_step, (patience_with_the_living_s, patience_with_the_dying_s))
        os.ftruncate(lock_fd, 0)
        os.pwrite(lock_fd, f"{os.getpid()}\n".encode(), 0)
        yield lock_fd
    finally:
        os.close(lock_fd)


def _take(lock_fd: int, state: StateDir, on_step: Callable[[str], None], patience_s: tuple[float, float]) -> None:
    began = time.monotonic()
    told = False
    while not _try(lock_fd, state):
        holder = _holder(lock_fd)
        lives = holder is not None and family.is_alive(holder)
        waited_s = time.monotonic() - began
        if waited_s > patience_s[0 if lives else 1]:
            raise _refusal(state, holder if lives else None)
        if not told:
            on_step("waiting for the servers of an earlier run to end")
            told = True
        time.sleep(_POLL_S)


def _try(lock_fd: int, state: StateDir) -> bool:
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise StateDirError(
            f"{state.lock} cannot be locked: {error.strerror}.", "Keep the state directory on a local disk."
        ) from error
    return True


def _holder(lock_fd: int) -> int | None:
    words = os.pread(lock_fd, 32, 0).split()
    return int(words[0]) if words and words[0].isdigit() else None


def _refusal(state: StateDir, holder: int | None) -> AlreadyRunningError:
    if holder is not None:
        return AlreadyRunningError(
            f"Another gateway (pid {holder}) is using {state.root}.", "Stop it, or name another state directory."
        )
    return AlreadyRunningError(
        f"The servers of an earlier run still hold {state.root} and do not end.",
        f"See who has {state.lock} open (fuser {state.lock}) and end that.",
    )
