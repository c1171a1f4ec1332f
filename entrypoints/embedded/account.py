"""Which account the servers run under.

PostgreSQL refuses to run as root, and its initdb refuses a uid that has no name. So:

    we are            the servers run as
    ---------------   -------------------------------------------------------------------------
    a named user      that same user
    root              `run_as`, else `nobody`, which every Debian has: nothing is added to the system
    neither of these  ourselves under a borrowed name, in a user namespace of their own (unshare)

The namespace is the second choice because container runtimes often forbid it, and because a server
mapped from root may still write root's files. `nobody` has a price too: other programs that run as nobody
can read the stores' files, which is why an operator with several such programs should name an account.
"""

from __future__ import annotations

import os
import pwd
import shutil
from pathlib import Path

import attrs

from entrypoints.embedded.errors import UnreachableError

_DEFAULT_ACCOUNT = "nobody"


@attrs.frozen(kw_only=True)
class Account:
    """The identity of the servers, in the form that starting a program needs.

    Attributes:
        name: what to call it in a sentence.
        uid: whom to become; None when we stay who we are.
        gid: its group; None likewise. Supplementary groups are always dropped with it.
        prefix: a command that runs the server's command line under a borrowed name.
    """

    name: str
    uid: int | None = None
    gid: int | None = None
    prefix: tuple[str, ...] = ()

    @property
    def owner_uid(self) -> int:
        """The uid that the servers' files belong to, as seen from here."""
        return os.geteuid() if self.uid is None else self.uid

    @property
    def extra_groups(self) -> list[int] | None:
        """No groups at all when we become somebody else."""
        return None if self.uid is None else []

    def adopt(self, path: Path) -> None:
        """Gives `path` to the account."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


def choose_account(run_as: str | None) -> Account:
    """Chooses the account by the table above.

    Raises:
        UnreachableError: `run_as` does not exist, is root, or we may not become it.
    """
    if os.geteuid() != 0:
        return _ourselves(run_as)
    entry = _entry(run_as or _DEFAULT_ACCOUNT)
    if entry is None:
        return _borrowed_name() if run_as is None else _refuse_unknown(run_as)
    if entry.pw_uid == 0:
        raise UnreachableError("PostgreSQL refuses to run as root.", "Name an ordinary account to run it as.")
    return Account(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid)


def _ourselves(run_as: str | None) -> Account:
    try:
        own = pwd.getpwuid(os.geteuid())
    except KeyError:
        if run_as is None:
            return _borrowed_name()
        own = None
    if own is None or run_as not in {None, own.pw_name}:
        raise UnreachableError(f"Only root can run the stores as {run_as}.", "Start as root, or leave the account out.")
    return Account(name=own.pw_name)


def _refuse_unknown(run_as: str) -> Account:
    raise UnreachableError(f"There is no account {run_as}.", "Create it, or name another one to run as.")


def _entry(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _borrowed_name() -> Account:
    entry = _entry(_DEFAULT_ACCOUNT) or next((one for one in pwd.getpwall() if one.pw_uid != 0), None)
    unshare = shutil.which("unshare")
    if entry is None or unshare is None:
        raise UnreachableError(
            f"PostgreSQL cannot run as uid {os.geteuid()}, and there is no other account or no unshare command.",
            "Run as a user that /etc/passwd names, or set DATABASE_URL and REDIS_URL to servers of your own.",
        )
    mapping = (f"--map-user={entry.pw_uid}", f"--map-group={entry.pw_gid}")
    return Account(name=f"uid {os.geteuid()}", prefix=(unshare, "--user", *mapping, "--"))
