"""Backends that say too much."""

from __future__ import annotations

import time

from tests.e2e.hostile.backend import Talk, pour
from tests.e2e.hostile.scripts.table import ANSWERED, CUT, FAILED, MALFORMED, MIB, SPEAKING, script
from tests.e2e.hostile.voices import VOICES


@script(CUT, None, VOICES)
def never_ends(talk: Talk) -> None:
    talk.open()
    talk.text()
    time.sleep(0.2)  # so that the client's answer begins
    pour(talk, talk.voice.text(talk.model), 1024 * MIB)


@script(MALFORMED)
def never_ends_without_a_word(talk: Talk) -> None:
    talk.open()
    talk.text()
    time.sleep(0.2)
    pour(talk, talk.voice.text(talk.model, b""), 1024 * MIB)


@script(FAILED, FAILED)
def a_line_of_100_mb(talk: Talk) -> None:
    talk.open()
    talk.chunk(talk.voice.before + b'{"pad":"')
    pour(talk, b"x" * 65536, 100 * MIB)
    talk.chunk(b'"}')


@script(MALFORMED)
def a_line_of_100_mb_after_text(talk: Talk) -> None:
    talk.open()
    talk.text()
    talk.chunk(talk.voice.before + b'{"pad":"')
    pour(talk, b"x" * 65536, 100 * MIB)


@script(FAILED, FAILED, SPEAKING)
def one_object_of_a_megabyte_of_text(talk: Talk) -> None:
    text = b"word " * (MIB // 5)
    voice = talk.voice
    talk.answer(
        voice.text(talk.model, text) + voice.last(talk.model) if voice.streamed else voice.last(talk.model, text=text)
    )


@script(FAILED, FAILED)
def a_gigabyte_of_garbage(talk: Talk) -> None:
    talk.open()
    pour(talk, b"\x00\xff\xfe garbage " * 5000, 1024 * MIB)


@script(FAILED, FAILED)
def empty_lines_without_end(talk: Talk) -> None:
    talk.open()
    pour(talk, b"\n" * 65536, 1024 * MIB)


@script(FAILED, FAILED)
def a_head_without_end(talk: Talk) -> None:
    talk.send(b"HTTP/1.1 200 OK\r\n")
    pour(talk, b"X-Pad: x\r\n" * 1000, 64 * MIB, framed=False)


@script(FAILED, FAILED)
def interim_answers_without_end(talk: Talk) -> None:
    pour(talk, b"HTTP/1.1 100 Continue\r\n\r\n" * 100, 64 * MIB, framed=False)


@script(FAILED, FAILED)
def chunk_extensions_without_end(talk: Talk) -> None:
    talk.open()
    talk.send(b"1;")
    pour(talk, b"a=b;" * 1000, 64 * MIB, framed=False)


@script(FAILED, FAILED)
def trailers_without_end(talk: Talk) -> None:
    talk.open()
    talk.send(b"0\r\n")
    pour(talk, b"X-Pad: x\r\n" * 1000, 64 * MIB, framed=False)


@script(ANSWERED, None, VOICES)
def goes_on_after_the_end(talk: Talk) -> None:
    """The client has its answer; what comes after is nobody's."""
    talk.open()
    talk.chunk(talk.voice.honest(talk.model))
    pour(talk, talk.voice.text(talk.model), 1024 * MIB)
