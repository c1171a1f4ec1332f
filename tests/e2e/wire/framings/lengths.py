"""How long a body is: Content-Length and Transfer-Encoding, alone and together, in every spelling."""

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
    TOLD,
    Case,
    Verdicts,
    chat,
    chunk,
    chunked,
    head,
    length,
)

_N = len(BODY)
_CHUNKED = chunk() + LAST


def _cl(name: str, *fields: str | bytes, want: Verdicts = BAD, lenient: Verdicts = (), caddy: Verdicts = ()) -> Case:
    """A length as given, and the body."""
    return Case(name=f"length: {name}", writes=[head(*fields) + BODY], want=want, lenient=lenient, caddy=caddy)


def _te(name: str, *fields: str | bytes, want: Verdicts = REFUSED, lenient: Verdicts = ()) -> Case:
    """A coding as given, and a chunked body. Caddy reads a coding as Go does, and writes its own."""
    return Case(
        name=f"coding: {name}",
        writes=[head(*fields) + _CHUNKED],
        want=want,
        lenient=lenient,
        caddy=SERVED,
    )


def _both(name: str, *fields: str | bytes, body: bytes = _CHUNKED, caddy: Verdicts = SERVED) -> Case:
    """Both framings: refused, since whoever wrote them may mean one and the next server the other."""
    return Case(name=f"both: {name}", writes=[head(*fields) + body], want=REFUSED, caddy=caddy)


LENGTHS = [
    _cl("right", length(), want=SERVED),
    _cl("lower-case name", f"content-length: {_N}", want=SERVED),
    _cl("no space after the colon", f"Content-Length:{_N}", want=SERVED),
    _cl("tabs and spaces around it", f"Content-Length: \t {_N} \t ", want=SERVED),
    _cl("leading zeros", f"Content-Length: 000{_N}", want=SERVED_OR_BAD, caddy=SERVED),
    _cl("none, and no coding", want=TOLD),
    _cl("nothing in it", "Content-Length:", want=BAD, caddy=TOLD),
    _cl("twice the same", length(), length(), want=BAD, lenient=SERVED, caddy=SERVED),
    _cl("twice, differing", length(), "Content-Length: 5"),
    _cl("twice, the first is zero", "Content-Length: 0", length()),
    _cl("a list of the same", f"Content-Length: {_N}, {_N}", want=BAD, lenient=SERVED, caddy=SERVED),
    _cl("a list of two", f"Content-Length: {_N}, 5"),
    _cl("a list with nothing", f"Content-Length: {_N},"),
    _cl("plus", f"Content-Length: +{_N}"),
    _cl("minus", f"Content-Length: -{_N}"),
    _cl("minus zero", "Content-Length: -0"),
    _cl("hexadecimal", f"Content-Length: {_N:#x}"),
    _cl("octal of Python", f"Content-Length: {_N:#o}"),
    _cl("underscore", f"Content-Length: {str(_N)[0]}_{str(_N)[1:]}"),
    _cl("decimal point", f"Content-Length: {_N}.0"),
    _cl("exponent", "Content-Length: 1e2"),
    _cl("space inside", f"Content-Length: {str(_N)[0]} {str(_N)[1:]}"),
    _cl("digits of another script", b"Content-Length: \xd9\xa1\xd9\xa2"),
    _cl("no number", "Content-Length: many"),
    _cl("quoted", f'Content-Length: "{_N}"'),
    _cl("semicolon", f"Content-Length: {_N};q=1"),
    _cl("NUL behind it", f"Content-Length: {_N}\0"),
    _cl("vertical tab before it", f"Content-Length: \x0b{_N}"),
    _cl("above what is taken", "Content-Length: 104857600", want=("413 close",), caddy=("413 *",)),
    _cl("2^63", "Content-Length: 9223372036854775808", want=("413 close", *BAD)),
    _cl("2^64 and the right one", f"Content-Length: {2**64 + _N}", want=("413 close", *BAD)),
    _cl("a thousand digits", "Content-Length: " + "9" * 1000, want=("413 close", *BAD)),
    Case(
        name="length: shorter than the body",
        writes=[head("Content-Length: 5") + BODY],
        want=("400 close",),
    ),
    Case(
        name="length: zero, and a second call behind it",
        writes=[head("Content-Length: 0") + SMUGGLED],
        want=("400 close",),
    ),
    Case(
        name="length: longer than the body",
        writes=[head(f"Content-Length: {_N + 50}") + BODY],
        want=("408 close",),
        caddy=("4?? *",),
    ),
    Case(
        name="length: longer than the body, and gone",
        writes=[head(f"Content-Length: {_N + 50}") + BODY],
        want=LEFT,
        caddy=("4?? *", *FRONT),
        then_fin=True,
    ),
]

CODINGS = [
    _te("chunked", "Transfer-Encoding: chunked", want=SERVED),
    _te("another case", "tRANSFER-eNCODING: cHuNkEd", want=SERVED_OR_BAD),
    _te("spaces around it", "Transfer-Encoding: \t chunked \t", want=SERVED_OR_BAD),
    _te("identity", "Transfer-Encoding: identity"),
    _te("gzip", "Transfer-Encoding: gzip"),
    _te("gzip, chunked", "Transfer-Encoding: gzip, chunked"),
    _te("chunked, gzip", "Transfer-Encoding: chunked, gzip"),
    _te("chunked, chunked", "Transfer-Encoding: chunked, chunked"),
    _te("chunked, identity", "Transfer-Encoding: chunked, identity"),
    _te("identity, chunked", "Transfer-Encoding: identity, chunked"),
    _te("chunked twice", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
    _te("chunked, then identity in a second field", "Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
    _te("identity, then chunked in a second field", "Transfer-Encoding: identity", "Transfer-Encoding: chunked"),
    _te("a comma before it", "Transfer-Encoding: , chunked"),
    _te("a comma behind it", "Transfer-Encoding: chunked,"),
    _te("xchunked", "Transfer-Encoding: xchunked"),
    _te("chunkedx", "Transfer-Encoding: chunkedx"),
    _te("chunk", "Transfer-Encoding: chunk"),
    _te("a parameter", "Transfer-Encoding: chunked;q=1"),
    _te("quoted", 'Transfer-Encoding: "chunked"'),
    _te("in brackets", "Transfer-Encoding: (chunked)"),
    _te("nothing in it", "Transfer-Encoding:"),
    _te("folded", "Transfer-Encoding:\r\n chunked", lenient=SERVED),
    _te("folded list", "Transfer-Encoding: gzip,\r\n chunked"),
    _te("vertical tab before it", "Transfer-Encoding: \x0bchunked"),
    _te("form feed behind it", "Transfer-Encoding: chunked\x0c"),
    _te("NUL behind it", "Transfer-Encoding: chunked\0"),
    _te("carriage return before it", "Transfer-Encoding: \rchunked"),
    _te("a letter of another script", b"Transfer-Encoding: \xd1\x81hunked"),
    _te("space before the colon", "Transfer-Encoding : chunked"),
    _te("tab before the colon", "Transfer-Encoding\t: chunked"),
    _te("space before the name", " Transfer-Encoding: chunked", lenient=TOLD),
    _te("underscore in the name", "Transfer_Encoding: chunked", lenient=TOLD),
    _te("another name", "X-Transfer-Encoding: chunked", want=TOLD),
    Case(
        name="coding: chunked in HTTP/1.0",
        writes=[chunked(start="POST /api/chat HTTP/1.0")],
        want=BAD,
        lenient=SERVED,
        caddy=TOLD,
    ),
    Case(
        name="coding: chunked in HTTP/1.0, kept alive",
        writes=[chunked(start="POST /api/chat HTTP/1.0", closing="Connection: keep-alive") + SMUGGLED],
        want=BAD,
        lenient=("200 served close",),
        caddy=TOLD,
        pipelined=True,
    ),
]

BOTH = [
    _both("length first", length(_CHUNKED), "Transfer-Encoding: chunked"),
    _both("coding first", "Transfer-Encoding: chunked", length(_CHUNKED)),
    _both("the length of the inner body", length(), "Transfer-Encoding: chunked"),
    _both("length zero", "Content-Length: 0", "Transfer-Encoding: chunked"),
    _both("a length that is none", "Content-Length: x", "Transfer-Encoding: chunked"),
    _both("identity", length(), "Transfer-Encoding: identity", body=BODY),
    _both("nothing as coding", length(), "Transfer-Encoding:", body=BODY),
    _both("an unknown coding", length(), "Transfer-Encoding: xchunked", body=BODY),
    _both("in HTTP/1.1, chunked folded", length(_CHUNKED), "Transfer-Encoding:\r\n chunked"),
    _both("twice the coding", length(), "Transfer-Encoding: chunked", "Transfer-Encoding: identity", body=BODY),
    _both(
        "a second call behind the last chunk",
        length(LAST + SMUGGLED),
        "Transfer-Encoding: chunked",
        body=LAST + SMUGGLED,
        caddy=TOLD,
    ),
    _both(
        "a second call behind the length",
        "Content-Length: 3",
        "Transfer-Encoding: chunked",
        body=chunk(SMUGGLED) + LAST,
        caddy=TOLD,
    ),
    Case(
        name="both: a space hides the coding, and a second call waits behind",
        writes=[chat("Transfer-Encoding : chunked", body=LAST + SMUGGLED)],
        want=REFUSED,
    ),
    Case(
        name="both: an underscore hides the coding, and a second call waits behind",
        writes=[chat("Transfer_Encoding: chunked", body=LAST + SMUGGLED)],
        want=REFUSED,
        lenient=TOLD,
        caddy=TOLD,
    ),
    Case(
        name="both: kept alive, and a second call behind",
        writes=[
            head(length(_CHUNKED), "Transfer-Encoding: chunked", closing="Connection: keep-alive") + _CHUNKED + SMUGGLED
        ],
        want=REFUSED,
        caddy=(*SERVED, "200 served + 200 served close"),
        pipelined=True,
    ),
    Case(
        name="both: in HTTP/1.0",
        writes=[head(length(), "Transfer-Encoding: chunked", start="POST /api/chat HTTP/1.0") + BODY],
        want=REFUSED,
        caddy=(*SERVED, *TOLD),
    ),
]

CASES = [*LENGTHS, *CODINGS, *BOTH]
