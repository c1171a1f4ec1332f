"""Errors, as the operator is told them: one sentence with its remedy, and an exit status.

    1    it did not work          2    the command line is wrong (told by click)          130    Ctrl-C

Where it failed is shown only to those who set LOG_LEVEL=debug; an unexpected error's own text to nobody, because it may
hold what should not be seen.
"""

from __future__ import annotations

from collections.abc import Sequence

from application.administer_keys import AlreadyPast, NotGood
from domain.faults import Fault, FaultCode, StoreUnavailable
from domain.policies import TooManyAliases
from domain.ports.audit_reader import SearchTooLong
from domain.ports.registers import Taken, Unknown
from domain.refusals import Refusal
from entrypoints.cli.session import Session, UnknownTenant
from entrypoints.embedded.errors import EmbeddedError
from entrypoints.env_file import EnvFileError
from entrypoints.observability.listener import MetricsPortTaken
from entrypoints.settings import SettingsError

STATUS_FAILED = 1
STATUS_INTERRUPTED = 130
STATUSES = {
    0: "it worked",
    STATUS_FAILED: "it did not work, and stderr says what to do; or `doctor` or `audit verify` found a problem",
    2: "the command line is wrong; nothing was done",
    STATUS_INTERRUPTED: "ended by Ctrl-C; but 0 where that is the way to end it (`serve`, `quickstart`, `top`)",
}
"""The exit statuses of every command."""
EXIT_STATUSES = "\n\nExit statuses: " + "; ".join(f"{status} {words}" for status, words in STATUSES.items()) + "."


class Failure(Exception):
    """Something a command cannot do; its text is the sentence for the operator."""


def sentences(error: Exception, session: Session) -> Sequence[str] | None:
    """What to tell the operator; None for an error that nobody expected."""
    if isinstance(error, SettingsError):
        return error.problems
    if isinstance(error, UnknownTenant):
        return [_unknown_tenant(error)]
    if isinstance(error, StoreUnavailable):
        return [_store(error, session)]
    if isinstance(error, _SENTENCES):
        return [str(error)]
    remedy = next((remedy for kind, remedy in _REMEDIES if isinstance(error, kind)), None)
    return None if remedy is None else [f"{_as_sentence(str(error))} {remedy}"]


_SENTENCES = (Refusal, Fault, Failure, EnvFileError, EmbeddedError, MetricsPortTaken)
"""Errors whose text says what to do already."""

_REMEDIES: Sequence[tuple[type[Exception], str]] = (
    (Unknown, "List keys with `neuronetz-gateway list-keys --tenant NAME`."),
    (SearchTooLong, "Give --since, or a later one."),
    (Taken, "Choose another name."),
    (AlreadyPast, "Give a later one, or a span such as 30d."),
    (TooManyAliases, "Remove one with `neuronetz-gateway set-alias --tenant NAME ALIAS --remove`."),
    (NotGood, "Make a new one with `neuronetz-gateway create-key`."),
)


def _as_sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def _unknown_tenant(error: UnknownTenant) -> str:
    if not error.similar:
        return f"There is no tenant {error.name}. List them with `neuronetz-gateway list-tenants`."
    return f"There is no tenant {error.name}. Did you mean {' or '.join(error.similar)}?"


def _store(error: StoreUnavailable, session: Session) -> str:
    if error.code is FaultCode.LIMITER_UNAVAILABLE:
        return f"{error.sentence} Check REDIS_URL, and that Redis runs."
    trouble = session.database_trouble(session.settings)
    why = f"{error.sentence} {_as_sentence(trouble)}" if trouble else error.sentence
    if trouble and "neuronetz-gateway" in trouble:
        return why
    if session.quickstart_file is not None:
        return f"{why} Start it with `neuronetz-gateway quickstart`, or set DATABASE_URL to another."
    return f"{why} Check DATABASE_URL, and that PostgreSQL runs there."
