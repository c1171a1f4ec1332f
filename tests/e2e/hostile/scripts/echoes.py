"""Backends that tell what they were sent, and where they are."""

from __future__ import annotations

import json

import attrs

from tests.e2e.hostile.backend import TOKEN, Talk
from tests.e2e.hostile.scripts.table import (
    ANSWERED,
    BUSY,
    ERRED,
    FAILED,
    MISLED,
    REJECTED,
    SCRIPTS,
    Ends,
    Script,
    first,
    said,
    script,
)
from tests.e2e.hostile.voices import CANARY, CHATS, VOICES


def echo(talk: Talk) -> str:
    """Our own request back, the caller's words first, with the backend's address and a stack trace."""
    here = "http://%s:%d/api/chat" % talk.sock.getsockname()  # noqa: UP031  a socket's name is a tuple
    return f"{json.dumps(talk.body)} Traceback (most recent call last): {here} got {talk.head.decode()}"


def refused(name: str, status: bytes, ends: Ends) -> None:
    """Puts a script into the table that refuses and tells all it knows."""

    def play(talk: Talk) -> None:
        talk.answer(json.dumps({"error": echo(talk)}).encode(), status=status, content_type="application/json")
        talk.keeps = True

    SCRIPTS[name] = Script(play, ends, ends, VOICES)


refused("echoes-in-a-400", b"400 Bad Request", REJECTED)
refused("echoes-in-a-413", b"413 Too Large", attrs.evolve(REJECTED, status=413))
refused("echoes-in-a-401", b"401 Unauthorized", MISLED)
refused("echoes-in-a-404", b"404 Not Found", attrs.evolve(REJECTED, status=404))
refused("echoes-in-a-500", b"500 Internal Server Error", FAILED)
refused("echoes-in-a-503", b"503 Busy", BUSY)
refused("echoes-in-a-599", b"599 " + TOKEN.encode(), FAILED)


@script(FAILED, FAILED, VOICES)
def echoes_the_question_in_a_page(talk: Talk) -> None:
    talk.answer(f"<html>{echo(talk)}</html>".encode(), status=b"502 Bad", content_type="text/html")


@script(FAILED, FAILED, VOICES)
def echoes_the_question_in_its_content_type(talk: Talk) -> None:
    talk.answer(talk.voice.honest(talk.model), content_type=f"application/{CANARY}")


@script(FAILED, FAILED)
def echoes_the_question_in_its_status_line(talk: Talk) -> None:
    talk.send(b"HTTP/1.1 " + CANARY.encode() + b"\r\n\r\n")


@script(FAILED, FAILED)
def echoes_the_question_in_a_broken_header(talk: Talk) -> None:
    talk.send(b"HTTP/1.1 200 OK\r\n" + CANARY.encode() + b"\x00\r\n\r\n")


@script(FAILED, FAILED)
def echoes_the_question_in_a_chunk_size(talk: Talk) -> None:
    talk.open()
    talk.send(CANARY.encode() + b"\r\n")


@script(FAILED, FAILED, VOICES)
def echoes_the_question_as_an_answer(talk: Talk) -> None:
    talk.answer(json.dumps(talk.body).encode() + b"}\n")


@script(FAILED, FAILED)
def echoes_in_its_content_type(talk: Talk) -> None:
    talk.answer(talk.voice.honest(talk.model), content_type=f"application/{TOKEN}")


@script(FAILED, FAILED)
def echoes_in_its_status_line(talk: Talk) -> None:
    talk.send(b"HTTP/1.1 " + TOKEN.encode() + b"\r\n\r\n")


@script(FAILED, FAILED)
def echoes_in_a_broken_header(talk: Talk) -> None:
    talk.send(b"HTTP/1.1 200 OK\r\n" + TOKEN.encode() + b"\x00\r\n\r\n")


said("echoes-in-an-error-at-once", ERRED, FAILED, lambda talk: talk.voice.failure(echo(talk)))
said("echoes-in-an-error-later", ERRED, None, lambda talk: first(talk) + talk.voice.failure(echo(talk)))
said(
    "echoes-in-a-field", FAILED, FAILED,
    lambda talk: talk.voice.last(talk.model, debug=TOKEN),
    native_embeddings=ANSWERED,  # of the vector alone
)  # fmt: skip
said(
    "echoes-in-an-error-among-text", ERRED, None,
    lambda talk: _with(talk, b'"error":"at http://10.0.0.7/x",') + talk.voice.last(talk.model),
    CHATS,
)  # fmt: skip


def _with(talk: Talk, member: bytes) -> bytes:
    """A text object with another member before its text."""
    mark = b'"message":' if b'"message":' in talk.voice.text(talk.model) else b'"model":'
    return talk.voice.text(talk.model).replace(mark, member + mark, 1)
