"""What the operator's settings allow one call: how long, how many tokens, how large a body."""

from __future__ import annotations

from application.live_calls import Deadlines
from domain.bounds import OutputCaps
from entrypoints.http.incoming import Intake
from entrypoints.settings import Settings
from entrypoints.settings_words import OnHangUp


def deadlines(settings: Settings) -> Deadlines:
    """How long it may wait."""
    return Deadlines(
        first_byte_s=settings.first_byte_timeout_s,
        next_byte_s=settings.idle_timeout_s,
        reader_s=settings.send_timeout_s,
        whole_call_s=settings.call_timeout_s,
        drain_s=settings.hang_up_drain_s if settings.on_hang_up is OnHangUp.DRAIN else 0.0,
    )


def caps(settings: Settings) -> OutputCaps:
    """How much it may be answered."""
    return OutputCaps(
        default=settings.default_output_tokens,
        most=settings.max_output_tokens,
        unknown_context=settings.unknown_context_tokens,
    )


def intake(settings: Settings) -> Intake:
    """How it may be asked."""
    return Intake(settings.max_body_bytes, settings.body_timeout_s, settings.trusted_proxies)
