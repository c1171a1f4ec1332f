"""Beside the rooms: for a key whose prompts are kept, the reply is overheard and the call's end handed to the log.

What the operator has ordered and this gateway cannot do is refused, not skipped: nobody would notice a log that has
holes where one gateway of several lacks its PROMPT_LOG_KEY. A log that is full or slow refuses nothing.
"""

from __future__ import annotations

import structlog

from application.overheard import OverheardReply
from application.passage import Passage
from application.prompt_log import PromptLog
from domain.faults import Fault, FaultCode
from domain.policies import Caller
from domain.ports.surroundings import Clock
from domain.prompts import Exchange, Heading, prompt_of

_log = structlog.get_logger("neuronetz")


class Keep:
    """Keeps the exchanges of those callers whose keys say so."""

    def __init__(self, log: PromptLog | None, clock: Clock) -> None:
        """Without a log, such callers are refused."""
        self._prompts = log
        self._clock = clock

    def require(self, caller: Caller) -> None:
        """Says nothing if this caller can be served as ordered.

        Raises:
            Fault: its prompts are to be kept, and cannot be.
        """
        if caller.prompt_log_ttl_s is not None and self._prompts is None:
            _log.error("prompt_log_key_missing", key=caller.key_prefix, remedy="set PROMPT_LOG_KEY on this gateway")
            raise Fault(
                FaultCode.PROMPT_LOG_UNAVAILABLE,
                "This key's prompts are to be logged, and this gateway cannot: its operator must set PROMPT_LOG_KEY.",
            )

    def listen(self, passage: Passage) -> None:
        """Begins to overhear a call whose tokens are held."""
        if passage.caller is not None and passage.caller.prompt_log_ttl_s is not None:
            overheard = OverheardReply(passage.reply)
            passage.reply, passage.heard = overheard, overheard.heard

    def end(self, passage: Passage) -> None:
        """Hands over a call that has ended, however it did. Returns at once, and fails no call."""
        if passage.heard is None or self._prompts is None:
            return
        try:
            exchange = self._exchange(passage)
            if exchange is not None:
                self._prompts.keep(exchange)
        except Exception:  # noqa: BLE001  a bug here must not cost the call its record
            _log.exception("prompt_not_kept", request_id=passage.presented.request_id)

    def _exchange(self, passage: Passage) -> Exchange | None:
        caller, call, heard = passage.caller, passage.call, passage.heard
        if caller is None or call is None or heard is None or caller.prompt_log_ttl_s is None:
            return None
        return Exchange(
            heading=Heading(
                request_id=passage.presented.request_id,
                tenant_id=caller.tenant_id,
                key_id=caller.key_id,
                key_prefix=caller.key_prefix,
                route=passage.presented.route,
                model=passage.model or "",
                streamed=call.streamed,
            ),
            ttl_s=caller.prompt_log_ttl_s,
            ended_s=self._clock.monotonic_s(),
            prompt=prompt_of(call),
            answer=heard.kept(),
        )
