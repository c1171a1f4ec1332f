"""What a connection is used for: upgrades, hop-by-hop fields, Expect, several requests, half ones, encodings."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence

from tests.e2e.wire.case import (
    BAD,
    BODY,
    FRONT,
    KEY,
    LEFT,
    REFUSED,
    SERVED,
    SERVED_OR_BAD,
    SMUGGLED,
    TOLD,
    Case,
    Verdicts,
    chat,
    chunked,
    head,
    length,
)

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
_SETTINGS = "HTTP2-Settings: AAMAAABkAAQAAP__"
_GET = "GET /api/tags HTTP/1.1"
_LOOKED: Verdicts = ("200 close", "200 open", "403 close")
_OPEN = "Connection: keep-alive"
_NOBODY: Verdicts = ("4?? *", "502 *", "nothing *", *FRONT)
_MEANT: Verdicts = ("415 *",)


def _asking(name: str, *fields: str, want: Verdicts = SERVED, lenient: Verdicts = (), caddy: Verdicts = ()) -> Case:
    """A right call with these fields too."""
    return Case(name=f"field: {name}", writes=[chat(*fields)], want=want, lenient=lenient, caddy=caddy)


def _upgrade(name: str, raw: bytes, want: Verdicts, caddy: Verdicts = ()) -> Case:
    return Case(name=f"upgrade: {name}", writes=[raw], want=want, caddy=caddy)


def _hop(name: str, connection: str, want: Verdicts = ("200 served *",)) -> Case:
    """What `Connection` names: taken away by nobody, because nothing is handed on."""
    return Case(name=f"connection: {name}", writes=[chat(closing=f"Connection: {connection}")], want=want)


def _several(
    name: str, raw: bytes, want: Verdicts, *, caddy: Verdicts = (), lenient: Verdicts = (), pipelined: bool = True
) -> Case:
    return Case(name=f"several: {name}", writes=[raw], want=want, lenient=lenient, caddy=caddy, pipelined=pipelined)


def _half(name: str, *writes: bytes, want: Verdicts = LEFT) -> Case:
    return Case(name=f"half: {name}", writes=writes, want=want, caddy=_NOBODY, then_fin=True)


def _coded(name: str, *fields: str, body: bytes = BODY, want: Verdicts = _MEANT, caddy: Verdicts = ()) -> Case:
    return Case(name=f"encoding: {name}", writes=[chat(*fields, body=body)], want=want, caddy=caddy)


def _pieces(name: str, writes: Sequence[bytes]) -> Case:
    return Case(name=f"pieces: {name}", writes=writes, want=SERVED)


def _h2c(upgrade: str, connection: str, *more: str) -> bytes:
    return head(f"Upgrade: {upgrade}", *more, start=_GET, closing=f"Connection: {connection}")


UPGRADES = [
    _upgrade("h2c", _h2c("h2c", "Upgrade, HTTP2-Settings", _SETTINGS), _LOOKED),
    _upgrade("h2c, and closing", _h2c("h2c", "close, Upgrade, HTTP2-Settings", _SETTINGS), _LOOKED),
    _upgrade("h2c without settings", _h2c("h2c", "close, Upgrade"), _LOOKED),
    _upgrade("h2c that Connection does not name", _h2c("h2c", "close", _SETTINGS), _LOOKED),
    _upgrade("h2c in another case", _h2c("H2C", "close, uPGRADE, HTTP2-Settings", _SETTINGS), _LOOKED),
    _upgrade("h2c in a list", _h2c("h2c, websocket", "close, Upgrade, HTTP2-Settings", _SETTINGS), _LOOKED),
    _upgrade("h2c with a version", _h2c("h2c/1", "close, Upgrade, HTTP2-Settings", _SETTINGS), _LOOKED),
    _upgrade("h2c twice", _h2c("h2c", "close, Upgrade", "Upgrade: h2c", _SETTINGS), _LOOKED),
    _upgrade("h2c with a body", chat("Upgrade: h2c", _SETTINGS, closing="Connection: close, Upgrade, HTTP2-Settings"),
             SERVED),
    _upgrade(
        "h2c on OPTIONS",
        head("Upgrade: h2c", _SETTINGS, start="OPTIONS /api/chat HTTP/1.1", closing="Connection: close, Upgrade"),
        ("405 close",),
    ),
    _upgrade("h2c in HTTP/1.0", head("Upgrade: h2c", _SETTINGS, start="GET /api/tags HTTP/1.0"), _LOOKED),
    _upgrade("h2c, and the frames at once", _h2c("h2c", "Upgrade, HTTP2-Settings", _SETTINGS) + _PREFACE,
             ("200 close", "200 + 4?? close", "200 + 505 close", "403 close"), caddy=("200 + 200 front close",)),
    _upgrade("h2", _h2c("h2", "close, Upgrade"), _LOOKED),
    _upgrade("TLS", _h2c("TLS/1.0", "close, Upgrade"), _LOOKED),
    _upgrade("HTTP/3", _h2c("HTTP/3.0", "close, Upgrade"), _LOOKED),
    _upgrade("websocket", _h2c("websocket", "close, Upgrade", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
                               "Sec-WebSocket-Version: 13"), ("403 close",), caddy=_LOOKED),
    _upgrade("websocket without its key", _h2c("websocket", "close, Upgrade"), ("400 *", *_LOOKED), caddy=_LOOKED),
    _upgrade("websocket with a body", chat("Upgrade: websocket", closing="Connection: close, Upgrade"),
             (*SERVED, "403 close")),
    _upgrade("prior knowledge", _PREFACE, REFUSED, caddy=FRONT),
    _upgrade("prior knowledge behind a call", chat(closing=None) + _PREFACE,
             ("200 served + 4?? close", "200 served + 505 close", "200 served close"),
             caddy=("200 served + 200 front close",)),
]  # fmt: skip

HOPS = [
    _hop("the key", "close, Authorization"),
    _hop("the host", "close, Host"),
    _hop("the length", "close, Content-Length"),
    _hop("the coding", "close, Transfer-Encoding"),
    _hop("the type", "close, Content-Type"),
    _hop("itself", "close, Connection"),
    _hop("the address", "close, X-Forwarded-For, X-Real-IP"),
    _hop("close and keep-alive", "close, keep-alive"),
    _hop("nothing but commas", ",,,", want=("200 served *", *BAD)),
    _hop("a thousand names", ", ".join(f"X-{number}" for number in range(1000)) + ", close"),
    _asking("TE: trailers", "TE: trailers"),
    _asking("TE: chunked", "TE: chunked;q=0"),
    _asking("Proxy-Connection", "Proxy-Connection: keep-alive"),
    _asking("Keep-Alive", "Keep-Alive: timeout=100000, max=100000"),
    _asking("another method", "X-HTTP-Method-Override: DELETE", "X-HTTP-Method: PUT", "X-Method-Override: TRACE"),
    _asking("another path", "X-Original-URL: /api/pull", "X-Rewrite-URL: /api/pull", "X-Forwarded-Prefix: /api/pull"),
    _asking(
        "another host", "X-Forwarded-Host: other.example", "X-Host: other.example", "Forwarded: host=other.example"
    ),
    _asking("another scheme", "X-Forwarded-Proto: javascript", "X-Forwarded-Scheme: ftp"),
    _asking("another tenant", "X-Tenant: other", "X-User: root", "X-Remote-User: root"),
    _asking("an origin", "Origin: http://other.example", "Referer: http://other.example"),
    _asking("a cookie", "Cookie: session=1", "Cookie2: $Version=1"),
    _asking("a range", "Range: bytes=0-1", "If-Range: x", "If-None-Match: *", "If-Modified-Since: x"),
    _asking("an accepted encoding", "Accept-Encoding: gzip, br, zstd"),
    _asking("an accepted type", "Accept: text/html"),
    _asking("Max-Forwards", "Max-Forwards: 0"),
    _asking("Via a thousand", "Via: " + ", ".join(["1.1 a"] * 1000)),
]

EXPECTS = [
    _asking("Expect: 100-continue", "Expect: 100-continue"),
    _asking("Expect in another case", "Expect: 100-CONTINUE"),
    _asking("Expect: something else", "Expect: 200-ok", want=("417 close", *TOLD), lenient=SERVED),
    _asking("Expect: a list", "Expect: 100-continue, x", want=("417 close", *TOLD), lenient=SERVED, caddy=SERVED),
    _asking("Expect: nothing", "Expect:", want=("417 close", *SERVED)),
    Case(
        name="field: Expect in HTTP/1.0",
        writes=[chat("Expect: 100-continue", start="POST /api/chat HTTP/1.0")],
        want=(*SERVED, "417 close"),
    ),
    Case(
        name="field: Expect of a body that is too large",
        writes=[head("Expect: 100-continue", "Content-Length: 104857600")],
        want=("413 close",),
    ),
    Case(
        name="field: Expect of a stranger",
        writes=[head("Expect: 100-continue", length(), key="Authorization: Bearer nz_no")],
        want=("401 close",),
    ),
    Case(
        name="field: Expect without a body",
        writes=[head("Expect: 100-continue", start="GET /api/tags HTTP/1.1")],
        want=("200 close", "417 close", *BAD),
    ),
]

_PULL = chat(start="POST /api/pull HTTP/1.1")
SEVERAL = [
    _several("two calls", chat(closing=_OPEN) + chat(), ("200 served + 200 served close", "200 served close")),
    _several(
        "five calls",
        chat(closing=None) * 4 + chat(),
        ("200 served + 200 served + 200 served + 200 served + 200 served close", "200 served close"),
    ),
    _several("a look and a call", head(start=_GET, closing=None) + chat(), ("200 + 200 served close", "200 close")),
    _several("a call and a closed route", chat(closing=None) + _PULL, ("200 served + 403 close", "200 served close")),
    _several(
        "a call, and one of a stranger",
        chat(closing=None) + chat(key=None),
        ("200 served + 401 close", "200 served close"),
    ),
    _several("behind `Connection: close`", chat() + SMUGGLED, SERVED, lenient=BAD, pipelined=False),
    _several("behind a closed route", _PULL + SMUGGLED, ("403 close",), lenient=BAD, pipelined=False),
    _several(
        "behind a refusal",
        chat(body=b"[]", closing=None) + chat(),
        ("400 + 200 served close", "400 close"),
    ),
    _several("behind an unreadable head", chat("X A: b", closing=None) + SMUGGLED, BAD, pipelined=False),
    _several("garbage behind a call", chat(closing=None) + b"\0\xff garbage\r\n\r\n",
             ("200 served + 400 close", "200 served close")),
    _several("garbage behind `Connection: close`", chat() + b"\0\xff garbage\r\n\r\n", SERVED, lenient=BAD,
             pipelined=False),
    _several("a line end behind a call", chat(closing=None) + b"\r\n",
             ("200 served open", "200 served close", "200 served + 400 close")),
    _several("the second has both framings", chat(closing=None) + chunked(length()),
             ("200 served + 400 close", "200 served close"), caddy=("200 served + 200 served close",)),
    _several("a stranger's body is a call",
             head(f"Content-Length: {len(SMUGGLED)}", key=None, closing=_OPEN) + SMUGGLED,
             ("401 close", "401 open"), pipelined=False),
    _several("a refused body is a call", chat("Content-Encoding: gzip", body=SMUGGLED, closing=_OPEN),
             ("415 close", "415 open"), pipelined=False),
    _several("an unknown route's body is a call", chat(start="POST /nowhere HTTP/1.1", body=SMUGGLED, closing=_OPEN),
             ("404 close", "404 open"), pipelined=False),
    _several("a wrong method's body is a call", chat(start="PUT /api/chat HTTP/1.1", body=SMUGGLED, closing=_OPEN),
             ("405 close", "405 open"), pipelined=False),
    _several("the body of GET is a call", chat(start=_GET, body=SMUGGLED, closing=_OPEN), ("200 *",), pipelined=False),
    _several("the body of health is a call", chat(start="GET /healthz HTTP/1.1", body=SMUGGLED, closing=_OPEN),
             ("200 *",), pipelined=False),
    _several("the body of the root is a call", chat(start="GET / HTTP/1.1", body=SMUGGLED, closing=_OPEN),
             ("200 *",), pipelined=False),
]  # fmt: skip

_HALF_HEAD = head(length())[:-2]
HALVES = [
    _half("nothing at all", b"", want=("nothing close",)),
    _half("a line end", b"\r\n"),
    _half("a method", b"POST"),
    _half("a request line", b"POST /api/chat HTTP/1.1\r\n"),
    _half("no empty line", _HALF_HEAD),
    _half("half an end", _HALF_HEAD + b"\r"),
    _half("no body", head(length())),
    _half("half a body", chat()[:-10]),
    _half("a body in two, and gone", head(length()), BODY[:20]),
    _half("no body, and 100 expected", head(length(), "Expect: 100-continue")),
]

_RAW = chat()
PIECES = [
    _pieces("byte by byte", [_RAW[at : at + 1] for at in range(len(_RAW.partition(KEY.encode())[0]))]
            + [_RAW.partition(KEY.encode())[1]]
            + [bytes([byte]) for byte in _RAW.partition(KEY.encode())[2]]),
    _pieces("between CR and LF", [*[line + b"\r" if not at else b"\n" + line + b"\r"
                                    for at, line in enumerate(_RAW.partition(b"\r\n\r\n")[0].split(b"\r\n"))],
                                  b"\n\r", b"\n" + BODY]),
    _pieces("head and body", [head(length()), BODY]),
    _pieces("chunk by chunk", [head("Transfer-Encoding: chunked"), f"{len(BODY):x}".encode(), b"\r", b"\n",
                               BODY[:9], BODY[9:], b"\r", b"\n0", b"\r\n\r", b"\n"]),
]  # fmt: skip

ENCODINGS = [
    _coded("gzip", "Content-Encoding: gzip", body=gzip.compress(BODY)),
    _coded("deflate", "Content-Encoding: deflate", body=zlib.compress(BODY)),
    _coded("gzip in name only", "Content-Encoding: gzip"),
    _coded("GZIP", "Content-Encoding: GZIP"),
    _coded("x-gzip", "Content-Encoding: x-gzip"),
    _coded("br", "Content-Encoding: br"),
    _coded("zstd", "Content-Encoding: zstd"),
    _coded("compress", "Content-Encoding: compress"),
    _coded("aes128gcm", "Content-Encoding: aes128gcm"),
    _coded("stacked", "Content-Encoding: gzip, gzip"),
    _coded("identity and another", "Content-Encoding: identity, zstd"),
    _coded("two fields", "Content-Encoding: identity", "Content-Encoding: zstd"),
    _coded("a bomb", "Content-Encoding: gzip", body=gzip.compress(bytes(50_000_000))),
    _coded("identity", "Content-Encoding: identity", want=SERVED),
    _coded("nothing", "Content-Encoding:", want=(*SERVED, *_MEANT)),
    _coded("gzip that nobody names", body=gzip.compress(BODY), want=BAD),
    _coded("a transfer encoding as content encoding", "Content-Encoding: chunked", want=_MEANT),
    _coded("another charset", "Content-Type: application/json; charset=utf-16", body=BODY.decode().encode("utf-16"),
           want=("400 *",)),
    _coded("a byte order mark", body=b"\xef\xbb\xbf" + BODY, want=(*SERVED_OR_BAD, "400 *")),
    _coded("two values", body=BODY + BODY, want=("400 *",)),
    _coded("NUL behind it", body=BODY + b"\0", want=("400 *",)),
    _coded("nothing in it", body=b"", want=("400 *",)),
    _coded("spaces", body=b" " * 4096, want=("400 *",)),
]  # fmt: skip

CASES = [*UPGRADES, *HOPS, *EXPECTS, *SEVERAL, *HALVES, *PIECES, *ENCODINGS]
