"""Backends that break HTTP, or use it in ways that nobody asked for."""

from __future__ import annotations

import gzip
import time

from tests.e2e.hostile.backend import TOKEN, Talk, chunked
from tests.e2e.hostile.scripts.table import (
    ANSWERED,
    BROKEN,
    FAILED,
    MALFORMED,
    METADATA,
    MIB,
    SCRIPTS,
    Ends,
    Script,
    script,
)
from tests.e2e.hostile.voices import VOICES


def sent(name: str, ends: Ends, octets: bytes) -> None:
    """Puts a script into the table that sends those bytes and looks what comes next."""

    def play(talk: Talk) -> None:
        talk.send(octets)
        talk.keeps = True

    SCRIPTS[name] = Script(play, ends, ends)


sent("no-http", FAILED, b"SSH-2.0-OpenSSH_9.9\r\n")
sent("http-0-9", FAILED, b'{"model":"m","done":true}\n')
sent("http-9-9", FAILED, b"HTTP/9.9 200 OK\r\nContent-Length: 0\r\n\r\n")
sent("a-status-of-letters", FAILED, b"HTTP/1.1 OK 200\r\nContent-Length: 0\r\n\r\n")
sent("a-bad-chunk-size", FAILED, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
sent("two-lengths", FAILED, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello")
sent("a-negative-length", FAILED, b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n")
sent(
    "switching-protocols", FAILED, b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n" + b"x" * 9000
)
sent("no-content", FAILED, b"HTTP/1.1 204 No Content\r\n\r\n")
sent("not-modified", FAILED, b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n")
sent("a-redirect-to-metadata", FAILED, b"HTTP/1.1 307 Go\r\nContent-Length: 0\r\n" + METADATA + b"\r\n\r\n")
sent("a-redirect-to-itself", FAILED, b"HTTP/1.1 302 Go\r\nContent-Length: 0\r\nLocation: /api/pull\r\n\r\n")
sent("a-redirect-to-nowhere", FAILED, b"HTTP/1.1 308 Go\r\nContent-Length: 0\r\nLocation: http://[::1/%\x7f\r\n\r\n")


@script(FAILED, FAILED, VOICES)
def leaves_at_once(talk: Talk) -> None:
    """Accepts, reads, closes: of the model's work nothing is known."""


@script(FAILED, FAILED)
def resets_at_once(talk: Talk) -> None:
    talk.reset()


@script(MALFORMED, FAILED, VOICES)
def resets_in_a_chunk(talk: Talk) -> None:
    talk.open()
    talk.text()
    talk.send(b"ffff\r\nhalf")
    time.sleep(0.1)
    talk.reset()


@script(MALFORMED, FAILED)
def ends_in_a_chunk(talk: Talk) -> None:
    talk.open()
    talk.text()
    talk.send(b"ffff\r\nhalf")


@script(BROKEN, FAILED, VOICES)
def ends_without_its_end(talk: Talk) -> None:
    """Clean HTTP, as when Ollama's repeat guard or a killed runner ends an answer."""
    talk.open()
    talk.text()
    time.sleep(0.2)  # so that the client's answer begins
    talk.send(b"0\r\n\r\n")


@script(MALFORMED, FAILED)
def a_length_too_long(talk: Talk) -> None:
    octets = talk.voice.text(talk.model) if talk.voice.streamed else talk.voice.last(talk.model)
    talk.send(talk.opening(length=len(octets) + 9) + octets)


@script(FAILED, FAILED)
def a_length_too_short(talk: Talk) -> None:
    octets = talk.voice.honest(talk.model)
    at = len(talk.voice.text(talk.model)) + 9 if talk.voice.streamed else len(octets) - 9
    talk.send(talk.opening(length=at) + octets)


@script(FAILED, FAILED)
def both_framings(talk: Talk) -> None:
    octets = talk.voice.honest(talk.model)
    talk.send(talk.opening(b"Content-Length: %d" % len(octets)) + chunked(octets) + b"0\r\n\r\n")


@script(FAILED, FAILED, VOICES)
def an_empty_body(talk: Talk) -> None:
    talk.answer(b"")
    talk.keeps = True


@script(ANSWERED, ANSWERED)
def interim_answers_first(talk: Talk) -> None:
    """A few are HTTP's good right."""
    talk.send(b"HTTP/1.1 100 Continue\r\n\r\n" + b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 3)
    talk.answer(talk.voice.honest(talk.model))
    talk.keeps = True


@script(FAILED, FAILED, VOICES)
def a_page(talk: Talk) -> None:
    talk.answer(b"<html>Traceback (most recent call last): 10.0.0.7</html>", content_type="text/html")


@script(FAILED, FAILED)
def the_other_dialects_type(talk: Talk) -> None:
    talk.answer(talk.voice.honest(talk.model), content_type="application/octet-stream")


@script(FAILED, FAILED)
def a_bomb_in_gzip(talk: Talk) -> None:
    talk.answer(gzip.compress(b"0" * 32 * MIB), b"Content-Encoding: gzip")


@script(FAILED, FAILED)
def zstd(talk: Talk) -> None:
    talk.answer(b"\x28\xb5\x2f\xfd\x04\x00\x51\x00\x00hello", b"Content-Encoding: zstd")


@script(FAILED, FAILED)
def says_gzip_and_is_not(talk: Talk) -> None:
    talk.answer(talk.voice.honest(talk.model), b"Content-Encoding: gzip")


@script(FAILED, FAILED)
def says_identity_and_is_gzip(talk: Talk) -> None:
    talk.answer(gzip.compress(talk.voice.honest(talk.model)) + b"\n", b"Content-Encoding: identity")


@script(FAILED, FAILED)
def gzip_as_transfer_coding(talk: Talk) -> None:
    octets = gzip.compress(talk.voice.honest(talk.model)) + b"\n"
    talk.send(talk.opening().replace(b": chunked", b": gzip, chunked") + chunked(octets) + b"0\r\n\r\n")


@script(ANSWERED, ANSWERED, VOICES)
def headers_of_every_kind(talk: Talk) -> None:
    """None of them reaches a client."""
    talk.answer(
        talk.voice.honest(talk.model),
        b"Set-Cookie: s=1; Domain=example.com",
        b"Access-Control-Allow-Origin: *",
        b"Proxy-Authenticate: Basic",
        b"Keep-Alive: timeout=99999",
        b"X-Echo: " + TOKEN.encode(),
        b"X-Request-Id: forged",
        b"Server: GPU-7",
        b"Refresh: 0; url=http://127.0.0.1:11434/",
    )
    talk.keeps = True
