"""Backends that take their time."""

from __future__ import annotations

import time

from tests.e2e.hostile.backend import Talk
from tests.e2e.hostile.scripts.table import CUT_LATE, LATE, STALLED, script
from tests.e2e.hostile.voices import VOICES


@script(LATE, LATE)
def never_answers(talk: Talk) -> None:
    talk.wait()


@script(STALLED, LATE, VOICES)
def stops_in_the_middle(talk: Talk) -> None:
    talk.open()
    talk.text()
    talk.wait()


@script(LATE, LATE)
def a_head_and_nothing_more(talk: Talk) -> None:
    talk.open()
    talk.wait()


@script(STALLED, LATE)
def trickles(talk: Talk) -> None:
    talk.open()
    talk.text()
    for octet in talk.voice.last(talk.model, text=b"slow" * 20):
        talk.chunk(bytes([octet]))
        time.sleep(0.2)


@script(LATE, LATE)
def trickles_its_head(talk: Talk) -> None:
    for octet in talk.opening(b"X-Pad: " + b"x" * 200):
        talk.send(bytes([octet]))
        time.sleep(0.2)


@script(LATE, LATE)
def only_comments(talk: Talk) -> None:
    """Spaces where there are no comments: both may stand before an object."""
    talk.open()
    for _ in range(60):
        talk.chunk(b": still here\n\n" if talk.voice.before else b" ")
        time.sleep(0.2)


@script(CUT_LATE, LATE)
def a_word_now_and_then(talk: Talk) -> None:
    talk.open()
    for _ in range(60):
        talk.chunk(talk.voice.text(talk.model) if talk.voice.streamed else b" ")
        time.sleep(0.4)
