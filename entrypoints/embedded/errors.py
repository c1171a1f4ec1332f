"""Everything that can keep the embedded stores from running, as one small tree.

Each error is two sentences: what is the matter, and what to do about it. They are read by an operator
at a terminal who may never have run a database, so a bare "exit status 1" is not among them.

    EmbeddedError
    +-- MissingServerError     no PostgreSQL or Valkey on this machine
    +-- UnreachableError       it is there, but the account that would run it cannot get to it
    +-- StateDirError          the directory for state or sockets cannot be used safely
    |   +-- AlreadyRunningError    ... because another gateway is using it
    +-- VersionError           the files were written by a server this one cannot follow
    +-- WrongThreadError       the caller is where a server must not be started
    +-- ServerFailedError      a server died, or did not answer or end in time; carries the end of its log
"""

from __future__ import annotations


class EmbeddedError(Exception):
    """The embedded stores cannot do what was asked; says why, and what would help."""

    def __init__(self, sentence: str, remedy: str) -> None:
        super().__init__(f"{sentence} {remedy}")
        self.sentence = sentence
        self.remedy = remedy


class MissingServerError(EmbeddedError):
    """No server binary was found anywhere it is looked for."""


class UnreachableError(EmbeddedError):
    """The account that runs the servers may not read or run something it needs."""


class StateDirError(EmbeddedError):
    """A directory is not ours, not safe, or not usable."""


class AlreadyRunningError(StateDirError):
    """Another gateway, or its servers on their way out, holds the state directory."""


class VersionError(EmbeddedError):
    """The stored files and the server found do not fit each other."""


class WrongThreadError(EmbeddedError):
    """A server started here would die with the thread, or would block an event loop."""


class ServerFailedError(EmbeddedError):
    """A server ended by itself, or did not get ready or end in time."""
