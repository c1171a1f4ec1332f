"""Inside a chunked body: sizes, extensions, line ends, the last chunk, trailers."""

from __future__ import annotations

from tests.e2e.wire.case import (
    BAD,
    BODY,
    FRONT,
    LAST,
    LEFT,
    REFUSED,
    SERVED,
    SERVED_OR_BAD,
    SMUGGLED,
    Case,
    Verdicts,
    chunk,
    chunked,
)

_N = len(BODY)
_SIZE = f"{_N:x}".encode()
_SLOW: Verdicts = ("408 close", *BAD)
"""It may also be that more is to come."""


def _body(
    name: str,
    raw: bytes,
    want: Verdicts = BAD,
    *,
    lenient: Verdicts = (),
    caddy: Verdicts = (),
    then_fin: bool = False,
) -> Case:
    return Case(
        name=f"chunk: {name}",
        writes=[chunked(body=raw)],
        want=want,
        lenient=(*lenient, "408 close"),  # h11 waits for a line end that it would like
        caddy=caddy,
        then_fin=then_fin,
    )


def _trailer(
    name: str, fields: bytes, want: Verdicts = SERVED, *, lenient: Verdicts = (), caddy: Verdicts = SERVED
) -> Case:
    """Fields behind the last chunk: read to their end and dropped, or refused."""
    raw = chunk() + b"0\r\n" + fields + b"\r\n"
    return Case(name=f"trailer: {name}", writes=[chunked(body=raw)], want=want, lenient=lenient, caddy=caddy)


SIZES = [
    _body("one", chunk() + LAST, SERVED),
    _body("a chunk for every byte", b"".join(chunk(BODY[at : at + 1]) for at in range(_N)) + LAST, SERVED),
    _body("capital digits", chunk(size=_SIZE.upper()) + LAST, SERVED),
    _body("leading zeros", chunk(size=b"00" + _SIZE) + LAST, SERVED_OR_BAD, caddy=SERVED),
    _body("seventeen digits, most of them zero", chunk(size=_SIZE.rjust(17, b"0")) + LAST, SERVED_OR_BAD),
    _body("0x", chunk(size=b"0x" + _SIZE) + LAST),
    _body("plus", chunk(size=b"+" + _SIZE) + LAST),
    _body("minus", chunk(size=b"-" + _SIZE) + LAST),
    _body("underscore", chunk(size=_SIZE[:1] + b"_" + _SIZE[1:]) + LAST),
    _body("no hexadecimal digit", chunk(size=b"g") + LAST),
    _body("nothing", chunk(size=b"") + LAST),
    _body("only an extension", chunk(size=b";a=b") + LAST),
    _body("2^64 and the right one", chunk(size=f"{2**64 + _N:x}".encode()) + LAST),
    _body("2^64 - 1", chunk(size=b"f" * 16) + LAST, (*BAD, "413 close", "408 close"), caddy=("413 *",)),
    _body("2^63 - 1", chunk(size=b"7" + b"f" * 15) + LAST, (*BAD, "413 close", "408 close"), caddy=("413 *",)),
    _body("a thousand digits", chunk(size=b"f" * 1000) + LAST),
    _body("one too small", chunk(size=f"{_N - 1:x}".encode()) + LAST),
    _body("one too large", chunk(size=f"{_N + 1:x}".encode()) + LAST),
    _body("space before it", chunk(size=b" " + _SIZE) + LAST),
    _body("space behind it", chunk(size=_SIZE + b" ") + LAST, SERVED_OR_BAD, caddy=SERVED),
    _body("tab behind it", chunk(size=_SIZE + b"\t") + LAST, SERVED_OR_BAD, caddy=SERVED),
    _body("NUL behind it", chunk(size=_SIZE + b"\0") + LAST),
    _body("ten thousand chunks of one byte", chunk(b" ") * 10_000 + chunk() + LAST, SERVED),
]

EXTENSIONS = [
    _body("an extension", chunk(size=_SIZE + b";a=b") + LAST, SERVED_OR_BAD, caddy=SERVED),
    _body("an extension with spaces", chunk(size=_SIZE + b" ; a = b") + LAST, SERVED_OR_BAD, caddy=SERVED),
    _body("an extension without a name", chunk(size=_SIZE + b";") + LAST, SERVED_OR_BAD, caddy=SERVED),
    _body("a quoted line end in an extension", chunk(size=_SIZE + b';a="\r\n0\r\n\r\n"') + LAST),
    _body("a line feed in an extension", chunk(size=_SIZE + b";a\nb") + LAST),
    _body("a carriage return in an extension", chunk(size=_SIZE + b";a\rb") + LAST, lenient=SERVED, caddy=SERVED),
    _body("an extension that ends in a line feed", _SIZE + b";a\n" + BODY + b"\r\n" + LAST, caddy=SERVED),
    _body("an extension of 20 KiB", chunk(size=_SIZE + b";a=" + b"b" * 20_000) + LAST, REFUSED, lenient=SERVED),
    _body("an extension at each of 1,000 chunks", (b"1;" + b"a" * 200 + b"\r\n \r\n") * 1000 + LAST, REFUSED),
]

LINE_ENDS = [
    _body("line feed behind the size", _SIZE + b"\n" + BODY + b"\r\n" + LAST, caddy=SERVED),
    _body("carriage return behind the size", _SIZE + b"\r" + BODY + b"\r\n" + LAST),
    _body("line feed behind the data", _SIZE + b"\r\n" + BODY + b"\n" + LAST),
    _body("nothing behind the data", _SIZE + b"\r\n" + BODY + LAST),
    _body("two other bytes behind the data", _SIZE + b"\r\n" + BODY + b"XX" + LAST),
    _body("line feeds everywhere", _SIZE + b"\n" + BODY + b"\n0\n\n"),
    _body("an empty line before the size", b"\r\n" + chunk() + LAST),
]

LAST_CHUNKS = [
    _body("the last has several zeros", chunk() + b"000\r\n\r\n", SERVED),
    _body("the last has an extension", chunk() + b"0;a=b\r\n\r\n", SERVED_OR_BAD, caddy=SERVED),
    _body("the last ends in line feeds", chunk() + b"0\n\n", caddy=SERVED),
    _body("the last ends in one line feed", chunk() + b"0\r\n\n", lenient=SERVED, caddy=SERVED),
    _body("the last ends in a carriage return", chunk() + b"0\r\n\rX", caddy=SERVED),
    _body("the last never ends", chunk() + b"0\r\n", _SLOW, caddy=("4?? *",)),
    _body("no last, and gone", chunk(), LEFT, caddy=("4?? *", *FRONT), then_fin=True),
    _body("half a chunk, and gone", chunk()[:30], LEFT, caddy=("4?? *", *FRONT), then_fin=True),
    _body("half a size, and gone", b"1", LEFT, caddy=("4?? *", *FRONT), then_fin=True),
    _body("no last, and silent", chunk(), ("408 close",), caddy=("4?? *",)),
    _body("only the last", LAST),
    _body("a second call behind the last", chunk() + LAST + SMUGGLED, SERVED, lenient=BAD),
    _body("a second call in the last's line", chunk() + b"0;" + SMUGGLED, (*REFUSED, *SERVED), caddy=SERVED),
]

TRAILERS = [
    _trailer("one", b"X-Checksum: abc\r\n"),
    _trailer("a key", b"Authorization: Bearer other\r\n", (*SERVED, *BAD)),
    _trailer("a length", b"Content-Length: 5\r\n", (*SERVED, *BAD)),
    _trailer("a coding", b"Transfer-Encoding: identity\r\n", (*SERVED, *REFUSED)),
    _trailer("a host", b"Host: other.example\r\n", (*SERVED, *BAD)),
    _trailer("an encoding", b"Content-Encoding: gzip\r\n", (*SERVED, *BAD)),
    _trailer("an address", b"X-Forwarded-For: 6.6.6.6\r\n", (*SERVED, *BAD)),
    _trailer("without a colon", b"nothing\r\n", BAD, caddy=()),
    _trailer("a line feed", b"X-A: b\n", (*REFUSED,), lenient=SERVED),
    _trailer("folded", b"X-A: b\r\n c\r\n", (*SERVED, *BAD)),
    _trailer("NUL", b"X-A: \0\r\n", REFUSED),
    _trailer("20 KiB", b"X-A: " + b"b" * 20_000 + b"\r\n", REFUSED, lenient=SERVED),
    _trailer("a thousand", b"X-A: b\r\n" * 1000, (*REFUSED, *SERVED)),
    _trailer("a second call", SMUGGLED[:-2], (*REFUSED,)),
    Case(
        name="trailer: announced",
        writes=[chunked("Trailer: Authorization", body=chunk() + b"0\r\nAuthorization: Bearer x\r\n\r\n")],
        want=SERVED_OR_BAD,
        caddy=SERVED,
    ),
]

CASES = [*SIZES, *EXTENSIONS, *LINE_ENDS, *LAST_CHUNKS, *TRAILERS]
