"""What the admit script says, in the domain's words.

A verdict is one line of words (`lua/admit.lua` lists them): a status reply of one line is the cheapest thing to read.
"""

from __future__ import annotations

from redis.exceptions import ResponseError

from adapters.redis.wire import Reply
from domain.faults import FaultCode, StoreUnavailable
from domain.limits import Rate, Scope
from domain.ports.limit_store import Admission, Admitted, Empty, Full, Outdated, Standing

_EMPTY = Empty()
_OUTDATED = Outdated()


def admission(reply: Reply) -> Admission:
    """Reads a verdict.

    Raises:
        StoreUnavailable: it is none, so it admits nothing.
    """
    words = reply.split() if isinstance(reply, bytes) else []
    try:
        match words:
            case [b"A", epoch, *rates]:
                rpm, tpm = _standings(rates)
                return Admitted(epoch=int(epoch), rpm=rpm, tpm=tpm)
            case [b"F", rate, scope, limit, wait, *rates]:
                rpm, tpm = _standings(rates)
                return Full(
                    rate=Rate(rate.decode()),
                    scope=Scope(scope.decode()),
                    limit=int(limit),
                    retry_after_s=int(wait),
                    rpm=rpm,
                    tpm=tpm,
                )
            case [b"O"]:
                return _OUTDATED
            case [b"E"]:
                return _EMPTY
    except ValueError as error:
        raise _unreadable(reply) from error
    raise _unreadable(reply)


def _standings(words: list[bytes]) -> tuple[Standing | None, Standing | None]:
    rpm_limit, rpm_left, rpm_reset, tpm_limit, tpm_left, tpm_reset = words
    return _standing(rpm_limit, rpm_left, rpm_reset), _standing(tpm_limit, tpm_left, tpm_reset)


def _standing(limit: bytes, left: bytes, reset: bytes) -> Standing | None:
    return None if limit == b"-" else Standing(limit=int(limit), remaining=int(left), reset_s=int(reset))


def _unreadable(reply: Reply) -> StoreUnavailable:
    kind = type(reply).__name__ if not isinstance(reply, ResponseError) else str(reply)
    return StoreUnavailable(FaultCode.LIMITER_UNAVAILABLE, f"The rate limiter's answer cannot be read ({kind}).")
