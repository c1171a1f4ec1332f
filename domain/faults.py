"""Faults: ours, or the backend's. A fault closes: what cannot be read or recorded is not served.

::

    Fault                  by itself: a call that was cut, a prompt that cannot be kept, or a bug of ours
     +- StoreUnavailable   PostgreSQL or Redis cannot answer, or the answer changes too often to be acted on
     +- Overloaded         no room now: the queue is full or the wait in it ran out, too many keys are being verified,
     |                     or no healthy backend has the model, or it is stuck on all that have
     +- BackendFault
         +- BackendUnreachable   nothing was sent: another backend may be tried
         +- BackendFailed        it was sent, and refused as busy, answered with an error, or broken off
         +- BackendTimeout       it was sent; no byte came in time
"""

from __future__ import annotations

from enum import StrEnum


class FaultCode(StrEnum):
    """Every fault a caller can meet. A code never changes its meaning."""

    IDENTITY_UNAVAILABLE = "identity_unavailable"
    LIMITER_UNAVAILABLE = "limiter_unavailable"
    LEDGER_UNAVAILABLE = "ledger_unavailable"
    OVERLOADED = "overloaded"
    QUEUE_FULL = "queue_full"
    QUEUE_TIMEOUT = "queue_timeout"
    NO_BACKEND = "no_backend"
    MODEL_WEDGED = "model_wedged"
    BACKEND_UNREACHABLE = "backend_unreachable"
    BACKEND_FAILED = "backend_failed"
    BACKEND_TIMEOUT = "backend_timeout"
    BACKEND_BUSY = "backend_busy"
    STREAM_BROKEN = "stream_broken"
    CALL_TOO_LONG = "call_too_long"
    READER_TOO_SLOW = "reader_too_slow"
    CLIENT_HUNG_UP = "client_hung_up"
    KEY_CUT = "key_cut"
    PROMPT_LOG_UNAVAILABLE = "prompt_log_unavailable"
    SHUTTING_DOWN = "shutting_down"
    INTERNAL = "internal_error"


class Fault(Exception):
    """A request that could not be served although the caller did nothing wrong."""

    def __init__(self, code: FaultCode, sentence: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence
        self.retry_after_s = retry_after_s


def internal_error() -> Fault:
    """What is told of a bug of ours."""
    return Fault(FaultCode.INTERNAL, "The gateway failed to serve this request. Tell its operator the request id.")


class StoreUnavailable(Fault):
    """A store that decides cannot be asked, so the answer is no."""

    def __init__(self, code: FaultCode, sentence: str) -> None:
        super().__init__(code, sentence, retry_after_s=1)


class Overloaded(Fault):
    """There is no room now."""

    def __init__(self, code: FaultCode, sentence: str, *, retry_after_s: int = 2) -> None:
        super().__init__(code, sentence, retry_after_s=retry_after_s)


class BackendFault(Fault):
    """A backend did not do its part."""


class BackendUnreachable(BackendFault):
    """No connection: nothing was sent, nothing was used."""

    def __init__(self, sentence: str = "The model backend cannot be reached. Please try again.") -> None:
        super().__init__(FaultCode.BACKEND_UNREACHABLE, sentence, retry_after_s=5)


class BackendFailed(BackendFault):
    """The request was sent and the answer failed."""

    def __init__(
        self,
        sentence: str = "The model backend failed to answer. Please try again.",
        code: FaultCode = FaultCode.BACKEND_FAILED,
        *,
        answered: bool = False,
        refused: bool = False,
        lost: bool = False,
    ) -> None:
        """Takes what is known of how far it came.

        Args:
            sentence: for the caller.
            code: for the caller and the audit.
            answered: it came as an error status, so no token was delivered; the prompt may have been read.
            refused: it came as a status that says so before any work: 4xx, or busy.
            lost: the connection broke, and what was on its way with it.
        """
        busy = code is FaultCode.BACKEND_BUSY
        super().__init__(code, sentence, retry_after_s=2 if busy else None)
        self.answered = answered
        self.refused = refused or busy
        self.lost = lost


class BackendTimeout(BackendFault):
    """The request was sent and nothing came in time."""

    def __init__(
        self, sentence: str = "The model backend did not answer in time. Please ask for less, or later."
    ) -> None:
        super().__init__(FaultCode.BACKEND_TIMEOUT, sentence)
