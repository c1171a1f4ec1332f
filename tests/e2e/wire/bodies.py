"""Hostile bodies that are large or deep: they are here for what they cost, not for what they are told."""

from __future__ import annotations

from collections.abc import Iterator

from tests.e2e.wire.case import BODY, chat, chunk, chunked

_MOST = 4 * 1024 * 1024 - 4096


def _around(inside: bytes) -> bytes:
    return b'{"model":"sim-chat","stream":false,"messages":[{"role":"user","content":' + inside + b"}]}"


def bodies() -> Iterator[tuple[str, bytes]]:
    """Names and bodies, just below the largest that is taken."""
    yield "brackets", b"[" * _MOST
    yield "braces", b'{"a":' * (_MOST // 5)
    yield "nested, and whole", b"[" * (_MOST // 2) + b"]" * (_MOST // 2)
    yield "a long list of numbers", _around(b"[" + b"1," * (_MOST // 2 - 200) + b"1]")
    yield "a long list of lists", _around(b"[" + b"[]," * (_MOST // 3 - 200) + b"[]]")
    yield "a long list of objects", _around(b"[" + b"{}," * (_MOST // 3 - 200) + b"{}]")
    yield "many keys", b"{" + b",".join(b'"k%d":0' % number for number in range(250_000)) + b"}"
    yield "one key again and again", b"{" + b'"a":1,' * (_MOST // 6) + b'"a":1}'
    yield "many messages", b'{"model":"sim-chat","messages":[' + b'{"role":"user","content":""},' * 130_000 + b"{}]}"
    yield "a number of megabytes", _around(b"1" * (_MOST - 100))
    yield "a fraction of megabytes", _around(b"0." + b"1" * (_MOST - 100))
    yield "a string of megabytes", _around(b'"' + b"x" * (_MOST - 100) + b'"')
    yield "a string of escapes", _around(b'"' + b"\\u0041" * ((_MOST - 100) // 6) + b'"')
    yield "a string of surrogates", _around(b'"' + b"\\ud800" * ((_MOST - 100) // 6) + b'"')
    yield "a string of NULs", _around(b'"' + b"\\u0000" * ((_MOST - 100) // 6) + b'"')
    yield "a key of megabytes", b'{"' + b"k" * (_MOST - 10) + b'":1}'
    yield "not UTF-8", b'{"a":"' + b"\xff" * (_MOST - 10) + b'"}'
    yield "UTF-16", ("\ufeff" + "x" * (_MOST // 2 - 10)).encode("utf-16-le")
    yield "spaces", b" " * _MOST
    yield "spaces around a call", b" " * (_MOST - len(BODY) - 1) + BODY
    yield "noise", bytes(range(256)) * (_MOST // 256)
    yield "a name of megabytes", b'{"model":"' + b"m" * (_MOST - 20) + b'"}'


def hostile_bodies() -> Iterator[tuple[str, bytes]]:
    """Whole requests: each body by its length and in chunks, and one that never ends."""
    for name, body in bodies():
        yield name, chat(body=body)
        yield f"{name}, in chunks", chunked(body=chunk(body) + b"0\r\n\r\n")
    yield "more and more chunks", chunked(body=chunk(b"x" * 65_536) * 1024)
