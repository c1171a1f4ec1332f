"""The fields of a head: line ends, control bytes, names, values, how many and how large."""

from __future__ import annotations

from tests.e2e.wire.case import (
    AUTHORIZATION,
    BAD,
    BODY,
    CLOSING,
    KEY,
    LEFT,
    SERVED,
    SERVED_OR_BAD,
    TOLD,
    Case,
    Line,
    Verdicts,
    chat,
    head,
    length,
)

_TOO_LARGE: Verdicts = ("431 close",)


def _field(name: str, *fields: str | bytes, want: Verdicts = BAD, lenient: Verdicts = (), caddy: Verdicts = ()) -> Case:
    """A right call with these fields too."""
    return Case(name=f"field: {name}", writes=[chat(*fields)], want=want, lenient=lenient, caddy=caddy)


def _raw(name: str, raw: bytes, want: Verdicts = BAD, *, lenient: Verdicts = (), caddy: Verdicts = ()) -> Case:
    return Case(name=f"head: {name}", writes=[raw], want=want, lenient=lenient, caddy=caddy)


def _key(
    name: str, *fields: str | bytes, want: Verdicts = ("401 close",), lenient: Verdicts = (), caddy: Verdicts = ()
) -> Case:
    """What is said about the key, in place of the right field."""
    return Case(name=f"key: {name}", writes=[chat(*fields, key=None)], want=want, lenient=lenient, caddy=caddy)


def _line_feeds(*fields: Line) -> bytes:
    return chat(*fields).replace(b"\r\n", b"\n")


LINES = [
    _raw("line feeds only", _line_feeds(), lenient=SERVED, caddy=SERVED),
    _raw("one line feed", chat("X-A: b\nX-C: d"), lenient=SERVED, caddy=SERVED),
    _raw("a line feed behind the request line", chat().replace(b"\r\n", b"\n", 1), lenient=SERVED, caddy=SERVED),
    _raw("the empty line is a line feed", chat().replace(b"\r\n\r\n", b"\r\n\n"), lenient=SERVED, caddy=SERVED),
    Case(
        name="head: carriage returns only",
        writes=[chat().replace(b"\r\n", b"\r")],
        want=LEFT,
        then_fin=True,
    ),
    _raw("two carriage returns at a line's end", chat("X-A: b\r"), caddy=SERVED),
    _raw("an empty line first", b"\r\n" + chat(), SERVED_OR_BAD),
    _raw("a hundred empty lines first", b"\r\n" * 100 + chat(), SERVED_OR_BAD),
    _raw("a line feed first", b"\n" + chat(), SERVED_OR_BAD),
    _raw("a space first", b" " + chat()),
    _raw("NUL first", b"\0" + chat()),
    _raw("a byte order mark first", b"\xef\xbb\xbf" + chat()),
    _raw("the first field is folded", chat(start="POST /api/chat HTTP/1.1\r\n X-A: b")),
    _raw("a space on the empty line", chat().replace(b"\r\n\r\n", b"\r\n \r\n\r\n"), lenient=SERVED, caddy=SERVED),
    _raw("a whole head inside a value", chat("X-A: b\r\n\r\nPOST /api/chat HTTP/1.1"), TOLD, caddy=TOLD),
]

NAMES = [
    _field("space before the colon", "X-A : b"),
    _field("tab before the colon", "X-A\t: b"),
    _field("space inside", "X A: b"),
    _field("space first", " X-A: b", lenient=("401 close",), caddy=SERVED),
    _field("empty", ": b"),
    _field("no colon", "X-A"),
    _field("underscore", "X_A: b", lenient=SERVED, caddy=SERVED),
    _field("underscore in the length", f"Content_Length: {len(BODY)}", lenient=SERVED, caddy=SERVED),
    _field("underscore in the address", "X_Forwarded_For: 6.6.6.6", lenient=SERVED, caddy=SERVED),
    _field("brackets", "X(A): b"),
    _field("quote", 'X"A: b'),
    _field("at sign", "X@A: b"),
    _field("slash", "X/A: b"),
    _field("NUL", "X\0A: b"),
    _field("carriage return", "X\rA: b"),
    _field("control byte", "X\x01A: b"),
    _field("delete", "X\x7fA: b"),
    _field("another script", "X-Ä: b".encode()),
    _field("every letter that may be in one", "!#$%&'*+-.^`|~09azAZ: b", want=SERVED),
    _field("pseudo header", ":authority: localhost", caddy=SERVED),
]

VALUES = [
    _field("NUL", "X-A: b\0c"),
    _field("carriage return", "X-A: b\rc"),
    _field("carriage return at the end", "X-A: b\r"),
    _field("bell", "X-A: \x07", lenient=SERVED),
    _field("escape", "X-A: \x1b[31m", lenient=SERVED),
    _field("delete", "X-A: \x7f", lenient=SERVED),
    _field("vertical tab", "X-A: \x0b"),
    _field("tab inside", "X-A: b\tc", want=SERVED),
    _field("empty", "X-A:", want=SERVED),
    _field("bytes above ASCII", b"X-A: \xff\xfe\xe9", want=SERVED_OR_BAD, caddy=SERVED),
    _field("UTF-8", "X-A: grün".encode(), want=SERVED_OR_BAD, caddy=SERVED),
    _field("folded", "X-A: b\r\n c", lenient=SERVED, caddy=SERVED),
    _field("folded with a tab", "X-A: b\r\n\tc", lenient=SERVED, caddy=SERVED),
    _field("folded with nothing", "X-A: b\r\n ", lenient=SERVED, caddy=SERVED),
    _field("a folded key", "X-A: b\r\n Authorization: Bearer other", lenient=SERVED, caddy=SERVED),
]

SIZES = [
    _field("8 KiB", "X-A: " + "b" * 8192, want=SERVED),
    _field("17 KiB", "X-A: " + "b" * 17_000, want=_TOO_LARGE, lenient=SERVED),
    _field("100 KiB", "X-A: " + "b" * 100_000, want=_TOO_LARGE),
    _field("1 MiB", "X-A: " + "b" * 1_048_576, want=_TOO_LARGE),
    _field("a name of 17 KiB", "X" * 17_000 + ": b", want=_TOO_LARGE, lenient=SERVED),
    _field("ninety", *[f"X-{number}: b" for number in range(90)], want=SERVED),
    _field("a hundred and fifty", *[f"X-{number}: b" for number in range(150)], want=_TOO_LARGE, lenient=SERVED),
    _field("two thousand", *[f"X-{number}: b" for number in range(2000)], want=_TOO_LARGE, lenient=SERVED),
    _field("two thousand times the same", *["X: b"] * 2000, want=_TOO_LARGE, lenient=SERVED),
]

KEYS = [
    _key("none"),
    _key("twice", AUTHORIZATION, AUTHORIZATION),
    _key("twice, the second of nobody", AUTHORIZATION, "Authorization: Bearer other"),
    _key("twice, the first of nobody", "Authorization: Bearer other", AUTHORIZATION),
    _key("an empty one too", AUTHORIZATION, "Authorization:"),
    _key("basic", f"Authorization: Basic {KEY}"),
    _key("no scheme", f"Authorization: {KEY}"),
    _key("a list", f"{AUTHORIZATION}, Bearer other"),
    _key("a tab behind the scheme", f"Authorization: Bearer\t{KEY}"),
    _key("two spaces behind the scheme", f"Authorization: Bearer  {KEY}"),
    _key("quoted", f'Authorization: Bearer "{KEY}"'),
    _key("lower-case scheme", f"authorization: bearer {KEY}", want=SERVED),
    _key("in x-api-key", f"x-api-key: {KEY}", want=SERVED),
    _key("the same in both", AUTHORIZATION, f"x-api-key: {KEY}", want=("200 served close", "401 close")),
    _key("another in x-api-key", AUTHORIZATION, "x-api-key: other"),
    _key("in the proxy's field", f"Proxy-Authorization: Bearer {KEY}"),
    _key("in a cookie", f"Cookie: key={KEY}; Authorization=Bearer {KEY}"),
    _key("in a field with an underscore", f"x_api_key: {KEY}", want=("401 close", "400 close")),
    _key("folded", f"Authorization: Bearer\r\n {KEY}", want=("401 close", "400 close"), lenient=SERVED, caddy=SERVED),
]

TYPES = [
    _field("two types", "Content-Type: application/json", "Content-Type: text/plain", want=SERVED_OR_BAD),
    _field("a type of nobody", "Content-Type: multipart/form-data; boundary=x", want=(*SERVED, "415 close")),
    _raw("all fields twice", head(*[AUTHORIZATION, length(), CLOSING] * 2, key=None, closing=None) + BODY,
         ("400 close", "401 close")),
]  # fmt: skip

CASES = [*LINES, *NAMES, *VALUES, *SIZES, *KEYS, *TYPES]
