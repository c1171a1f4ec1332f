"""How the table of scripts is made: what a backend does, and how a call of it must end, streamed and whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import attrs

from tests.e2e.hostile.backend import Talk
from tests.e2e.hostile.voices import CHATS, VOICES, Voice

MIB: Final = 1024 * 1024
METADATA: Final = b"Location: http://169.254.169.254/latest/meta-data/"


@attrs.frozen
class Ends:
    """How a call ends: for the client, and in the audit."""

    status: int
    code: str | None
    outcome: str


ANSWERED = Ends(200, None, "done")
FAILED = Ends(502, "backend_failed", "backend_broke_off")
LATE = Ends(504, "backend_timeout", "timed_out")
TOO_LONG = Ends(504, "call_too_long", "timed_out")
BUSY = Ends(503, "backend_busy", "backend_refused")
MISLED = Ends(502, "backend_failed", "backend_refused")
REJECTED = Ends(400, "backend_rejected", "backend_refused")
ERRED = Ends(502, "stream_broken", "backend_broke_off")
# inside a stream that had begun
BROKEN = Ends(200, "stream_broken", "backend_broke_off")
MALFORMED = Ends(200, "backend_failed", "backend_broke_off")
STALLED = Ends(200, "backend_timeout", "timed_out")
CUT_LATE = Ends(200, "call_too_long", "timed_out")
CUT = Ends(200, "stream_broken", "cut_at_cap")
CUT_AT_ONCE = Ends(502, "stream_broken", "cut_at_cap")


@attrs.frozen
class Script:
    """One hostile backend."""

    play: Callable[[Talk], None]
    streamed: Ends
    whole: Ends | None = None
    """None: there is nothing of the kind in a whole answer."""
    voices: Sequence[Voice] = CHATS
    """Whom it is played to. Where dialects make no difference, two are enough."""
    but: dict[str, Ends] = attrs.field(factory=dict)
    """Where a dialect makes one: how its calls end, by the voice's name."""

    @property
    def endings(self) -> dict[Voice, Ends]:
        """How its calls must end."""
        ends = {
            voice: self.but.get(voice.name, self.streamed if voice.streamed else self.whole) for voice in self.voices
        }
        return {voice: end for voice, end in ends.items() if end is not None}


SCRIPTS: Final[dict[str, Script]] = {}
SPEAKING: Final = tuple(voice for voice in VOICES if voice.generates)
EVENTS: Final = tuple(voice for voice in VOICES if voice.name in ("anthropic-streamed", "responses-streamed"))


def script(
    streamed: Ends, whole: Ends | None = None, voices: Sequence[Voice] = CHATS, **but: Ends
) -> Callable[[Callable[[Talk], None]], Callable[[Talk], None]]:
    """Puts a script into the table under its own name."""

    def add(play: Callable[[Talk], None]) -> Callable[[Talk], None]:
        SCRIPTS[play.__name__.replace("_", "-")] = Script(play, streamed, whole, voices, dashed(but))
        return play

    return add


def said(
    name: str,
    streamed: Ends,
    whole: Ends | None,
    octets_of: Callable[[Talk], bytes],
    voices: Sequence[Voice] = VOICES,
    **but: Ends,
) -> None:
    """Puts a script into the table that only says something, in perfect HTTP."""

    def play(talk: Talk) -> None:
        talk.answer(octets_of(talk))
        talk.keeps = True

    SCRIPTS[name] = Script(play, streamed, whole, voices, dashed(but))


def dashed(but: dict[str, Ends]) -> dict[str, Ends]:
    """By the voices' names."""
    return {name.replace("_", "-"): ends for name, ends in but.items()}


def first(talk: Talk) -> bytes:
    """What a stream begins with: its first text; nothing of a whole answer."""
    return talk.voice.begun(talk.model) + talk.voice.text(talk.model) if talk.voice.streamed else b""
