"""Bytes in, verdict out: what is a request, and what could be two."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.refusals import Refusal
from entrypoints.http1.reading import MAX_PIPELINED_BYTES, RequestReader

Verdict = Sequence[tuple[str, ...]]
"""What became of a stream: each request as method, path, query and body; at last a refusal's code, or `more`."""

_HOST = b"Host: g\r\n"
CHUNKED = b"POST /a HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n"


def request(*lines: bytes, first: bytes = b"GET /a HTTP/1.1", host: bytes = b"Host: g", body: bytes = b"") -> bytes:
    return b"\r\n".join([first, *([host] if host else []), *lines, b"", b""]) + body


def post(*lines: bytes, body: bytes = b"abc", version: bytes = b"1.1") -> bytes:
    return request(*lines, first=b"POST /a HTTP/" + version, body=body)


def read(pieces: Iterable[bytes]) -> Verdict:
    reader = RequestReader()
    found: list[tuple[str, ...]] = []
    shown: tuple[str, ...] = ()
    body = b""
    try:
        for piece in pieces:
            reader.receive(piece)
            while True:
                if not shown:
                    head = reader.head()
                    if head is None:
                        break
                    shown = (head.method, head.raw_path.decode(), head.query.decode())
                body += reader.body()
                if not reader.complete:
                    break
                found.append((*shown, body.decode("latin-1")))
                shown, body = (), b""
                reader.next()
    except Refusal as refusal:
        return [*found, (refusal.code.value,)]
    return [*found, ("more",)] if shown or reader.begun else found


def whole(data: bytes) -> Verdict:
    return read([data])


def byte_by_byte(data: bytes) -> Verdict:
    return read(data[at : at + 1] for at in range(len(data)))


A = ("GET", "/a", "", "")
ABC = ("POST", "/a", "", "abc")
GOOD: dict[str, tuple[bytes, Verdict]] = {
    "a plain request": (request(), [A]),
    "HTTP/1.0 without Host": (request(first=b"GET /a HTTP/1.0", host=b""), [A]),
    "a query": (request(first=b"GET /a?b=c?d HTTP/1.1"), [("GET", "/a", "b=c?d", "")]),
    "escapes stay as they are": (request(first=b"GET /a%2Fb%0a HTTP/1.1"), [("GET", "/a%2Fb%0a", "", "")]),
    "absolute form": (request(first=b"GET http://other:80/a?x HTTP/1.1"), [("GET", "/a", "x", "")]),
    "absolute form without a path": (request(first=b"GET HTTPS://other HTTP/1.1"), [("GET", "/", "", "")]),
    "absolute form with only a query": (request(first=b"GET http://o?x HTTP/1.1"), [("GET", "/", "x", "")]),
    "one empty line before it": (b"\r\n" + request(), [A]),
    "a value with blanks, tabs and Latin-1": (request(b"A:\t b\tc\xe9 \t"), [A]),
    "an empty value": (request(b"A:"), [A]),
    "Content-Length": (post(b"Content-Length: 3"), [ABC]),
    "Content-Length with zeros and blanks": (post(b"Content-Length:  0003 "), [ABC]),
    "chunks": (CHUNKED + b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", [ABC]),
    "chunks with empty lines in them": (
        CHUNKED + b"8\r\n\r\n\r\n\r\n\r\n\r\n0\r\n\r\n" + request(),
        [("POST", "/a", "", "\r\n\r\n\r\n\r\n"), A],
    ),
    "chunk size with zeros and in capitals": (CHUNKED + b"00A\r\n0123456789\r\n0\r\n\r\n", [(*ABC[:3], "0123456789")]),
    "chunk extensions are dropped": (CHUNKED + b'3;a=b;c="d"\r\nabc\r\n0;e\r\n\r\n', [ABC]),
    "trailers are dropped": (CHUNKED + b"3\r\nabc\r\n0\r\nHost: evil\r\nX: y\r\n\r\n" + request(), [ABC, A]),
    "two requests": (request() + post(b"Content-Length: 3") + request(), [A, ABC, A]),
    "a line break after a body": (post(b"Content-Length: 3", body=b"abc\r\n") + request(), [ABC, A]),
    "a body of a GET": (request(b"Content-Length: 3", body=b"abc") + request(), [("GET", "/a", "", "abc"), A]),
    "h2c is passed over": (
        request(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMA") + request(),
        [A, A],
    ),
    "h2c with a length": (post(b"Connection: Upgrade", b"Upgrade: h2c", b"Content-Length: 3") + request(), [ABC, A]),
    "h2c with chunks": (
        post(b"Connection: Upgrade", b"Upgrade: h2c", b"Transfer-Encoding: chunked", body=b"3\r\nabc\r\n0\r\n\r\n")
        + request(),
        [ABC, A],
    ),
    "an upgrade nobody knows": (request(b"Connection: upgrade", b"Upgrade: foo/2") + request(), [A, A]),
    "Connection: close does not end the reading": (request(b"Connection: close"), [A]),
    "Connection names other headers": (request(b"Connection: host, content-length, authorization"), [A]),
    "a head as large as it may be": (request(b"A: " + b"x" * (16384 - len(request(b"A: ")))), [A]),
    "a target as long as it may be": (
        request(first=b"GET /" + b"x" * 8191 + b" HTTP/1.1"),
        [("GET", "/" + "x" * 8191, "", "")],
    ),
    "as many headers as there may be": (request(*[b"A: b"] * 99), [A]),
    "half a head": (b"GET /a HTTP/1.1\r\nHo", [("more",)]),
    "half a body": (post(b"Content-Length: 4"), [("more",)]),
    "half a chunk": (CHUNKED + b"4\r\nabc", [("more",)]),
    "no last chunk": (CHUNKED + b"3\r\nabc\r\n", [("more",)]),
    "no end of the trailers": (CHUNKED + b"0\r\nA: b\r\n", [("more",)]),
    "nothing but a line break": (b"\r\n", []),
}  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_what_is_read(name: str) -> None:
    data, verdict = GOOD[name]

    assert whole(data) == verdict
    assert byte_by_byte(data) == verdict


MALFORMED: dict[str, bytes] = {
    "lower-case method": request(first=b"get /a HTTP/1.1"),
    "unknown method": request(first=b"FETCH /a HTTP/1.1"),
    "no method": request(first=b" /a HTTP/1.1"),
    "two blanks": request(first=b"GET  /a HTTP/1.1"),
    "a tab for a blank": request(first=b"GET\t/a HTTP/1.1"),
    "a blank at the line's end": request(first=b"GET /a HTTP/1.1 "),
    "lower-case HTTP": request(first=b"GET /a http/1.1"),
    "RTSP": request(first=b"GET /a RTSP/1.0"),
    "a long version": request(first=b"GET /a HTTP/1.10"),
    "two empty lines before it": b"\r\n\r\n" + request(),
    "a line feed before it": b"\n" + request(),
    "no target": request(first=b"GET HTTP/1.1"),
    "a target that is no path": request(first=b"GET a HTTP/1.1"),
    "asterisk form": request(first=b"OPTIONS * HTTP/1.1"),
    "authority form": request(first=b"CONNECT g:80 HTTP/1.1"),
    "another scheme": request(first=b"GET ftp://g/a HTTP/1.1"),
    "absolute form with a user": request(first=b"GET http://u@g/a HTTP/1.1"),
    "absolute form without a host": request(first=b"GET http:///a HTTP/1.1"),
    "a fragment": request(first=b"GET /a#b HTTP/1.1"),
    "a control byte in the target": request(first=b"GET /a\x01 HTTP/1.1"),
    "a NUL in the target": request(first=b"GET /a\x00 HTTP/1.1"),
    "Latin-1 in the target": request(first=b"GET /\xe9 HTTP/1.1"),
    "DEL in the target": request(first=b"GET /\x7f HTTP/1.1"),
    "bare line feeds": b"GET /a HTTP/1.1\nHost: g\n\n",
    "one bare line feed": b"GET /a HTTP/1.1\r\nHost: g\nA: b\r\n\r\n",
    "a bare line feed at the end": b"GET /a HTTP/1.1\r\nHost: g\r\n\n",
    "a bare carriage return": request(b"A: b\rc"),
    "a folded line": request(b"A: b", b" c"),
    "a folded line by a tab": request(b"A: b", b"\tc"),
    "a blank before the first header": request(b"A: b", first=b"GET /a HTTP/1.1\r\n X: y"),
    "a blank before the colon": request(b"A : b"),
    "no colon": request(b"A"),
    "no name": request(b": b"),
    "a name with a bracket": request(b"A(b: c"),
    "a name in Latin-1": request(b"\xe9: c"),
    "a name with an underscore": request(b"X_Forwarded_For: 6.6.6.6"),
    "a NUL in a value": request(b"A: b\x00c"),
    "a control byte in a value": request(b"A: b\x01c"),
    "DEL in a value": request(b"A: b\x7fc"),
    "no Host": request(host=b""),
    "two Hosts": request(b"Host: g"),
    "two Hosts in HTTP/1.0": request(b"Host: h", first=b"GET /a HTTP/1.0"),
    "an empty Host": request(host=b"Host:"),
    "a Host with a path": request(host=b"Host: g/x"),
    "a Host with a user": request(host=b"Host: u@g"),
    "a Host with a blank": request(host=b"Host: g h"),
    "a list of Hosts": request(host=b"Host: g, h"),
    "a Host with a word for a port": request(host=b"Host: g:http"),
    "TLS": bytes.fromhex("16030100c8010000c40303") + b"x" * 200,
    "noise": b"\x80\x02\x00\x00",
}  # fmt: skip
FRAMING: dict[str, bytes] = {
    "both framings": post(b"Content-Length: 3", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    "both framings, the other way round": post(b"Transfer-Encoding: chunked", b"Content-Length: 3", body=b"0\r\n\r\n"),
    "Content-Length: 0 with chunked": post(b"Content-Length: 0", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    "the same length twice": post(b"Content-Length: 3", b"Content-Length: 3"),
    "two lengths": post(b"Content-Length: 3", b"Content-Length: 4"),
    "two lengths in one line": post(b"Content-Length: 3, 3"),
    "a signed length": post(b"Content-Length: +3"),
    "a negative length": post(b"Content-Length: -3"),
    "a hexadecimal length": post(b"Content-Length: 0x3"),
    "a length with a point": post(b"Content-Length: 3.0"),
    "a length with a blank": post(b"Content-Length: 1 2"),
    "an empty length": post(b"Content-Length:"),
    "a length past 64 bits": post(b"Content-Length: 99999999999999999999999"),
    "a length of nineteen digits": post(b"Content-Length: 1000000000000000000"),
    **{
        f"Transfer-Encoding: {coding}": post(b"Transfer-Encoding: " + coding.encode(), body=b"3\r\nabc\r\n0\r\n\r\n")
        for coding in (
            "Chunked", "CHUNKED", "chunked, chunked", "gzip, chunked", "chunked, gzip", "identity", "xchunked",
            "chunked;q=1", '"chunked"', "chunked,", ",chunked", "", "chunked identity",
        )
    },
    "Transfer-Encoding twice": post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    "Transfer-Encoding in HTTP/1.0": post(b"Transfer-Encoding: chunked", body=b"0\r\n\r\n", version=b"1.0"),
}  # fmt: skip
CHUNKS: dict[str, bytes] = {
    "no size": b"\r\nabc\r\n0\r\n\r\n",
    "a size in hexadecimal notation": b"0x3\r\nabc\r\n0\r\n\r\n",
    "a signed size": b"+3\r\nabc\r\n0\r\n\r\n",
    "a negative size": b"-1\r\nabc\r\n0\r\n\r\n",
    "a blank before the size": b" 3\r\nabc\r\n0\r\n\r\n",
    "a blank after the size": b"3 \r\nabc\r\n0\r\n\r\n",
    "a size past 64 bits": b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n",
    "a size that is no number": b"g\r\nabc\r\n0\r\n\r\n",
    "a bare line feed after the size": b"3\nabc\r\n0\r\n\r\n",
    "a bare carriage return after the size": b"3\rabc\r\n0\r\n\r\n",
    "a bare line feed after the data": b"3\r\nabc\n0\r\n\r\n",
    "more data than the size says": b"3\r\nabcd\r\n0\r\n\r\n",
    "less data than the size says": b"5\r\nabc\r\n0\r\n\r\n",
    "a bare line feed in an extension": b"3;a\nabc\r\n0\r\n\r\n",
    "a line break in a quoted extension": b'3;a="b\r\n"\r\nabc\r\n0\r\n\r\n',
    "a NUL in an extension": b"3;a\x00\r\nabc\r\n0\r\n\r\n",
    "a length among the trailers": b"0\r\nContent-Length: 3\r\n\r\n",
    "a coding among the trailers": b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "a blank before a trailer's colon": b"0\r\nA : b\r\n\r\n",
    "a bare line feed after a trailer": b"0\r\nA: b\n\r\n",
    "a request where a trailer should be": b"0\r\nGET /b HTTP/1.1\r\n\r\n",
    "an endless extension": b"3;" + b"a" * 40_000,
    "an endless size": b"0" * 40_000,
    "endless trailers": b"0\r\n" + b"A: b\r\n" * 8_000,
    "an endless trailer": b"0\r\nA: " + b"b" * 40_000,
    "extensions larger than what they belong to": (b"1;" + b"a" * 1000 + b"\r\nx\r\n") * 40,
}  # fmt: skip
OTHERS: dict[str, tuple[bytes, str]] = {
    "HTTP/0.9": (b"GET /a\r\n\r\n", "http_version_not_supported"),
    "HTTP/1.2": (request(first=b"GET /a HTTP/1.2"), "http_version_not_supported"),
    "HTTP/2.0": (request(first=b"GET /a HTTP/2.0"), "http_version_not_supported"),
    "HTTP/3.0": (request(first=b"GET /a HTTP/3.0"), "http_version_not_supported"),
    "prior knowledge": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "http_version_not_supported"),
    "a head too large": (request(b"A: " + b"x" * 16384), "head_too_large"),
    "a head without an end": (b"GET /a HTTP/1.1\r\nHost: g\r\nA: " + b"x" * 40_000, "head_too_large"),
    "too many headers": (request(*[b"A: b"] * 100), "head_too_large"),
    "a target too long": (request(first=b"GET /" + b"x" * 8192 + b" HTTP/1.1"), "target_too_long"),
    "a target without an end": (b"GET /" + b"x" * 40_000, "target_too_long"),
    "another expectation": (request(b"Expect: 200-ok"), "expectation_failed"),
    "two expectations": (request(b"Expect: 100-continue, 200-ok"), "expectation_failed"),
    "a websocket": (request(b"Connection: keep-alive, Upgrade", b"Upgrade: WebSocket"), "websocket_refused"),
    "a websocket among others": (request(b"Connection: Upgrade", b"Upgrade: h2c, websocket"), "websocket_refused"),
}
REFUSED = {
    **{name: (data, "malformed_request") for name, data in MALFORMED.items()},
    **{name: (data, "bad_framing") for name, data in FRAMING.items()},
    **{f"chunks: {name}": (CHUNKED + data, "bad_framing") for name, data in CHUNKS.items()},
    **OTHERS,
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    data, code = REFUSED[name]

    assert whole(data)[-1] == (code,)
    assert byte_by_byte(data)[-1] == (code,)
    assert whole(request() + data)[-1] == (code,)


STREAMS = st.lists(
    st.sampled_from([data for data, _ in [*GOOD.values(), *REFUSED.values()] if len(data) < 600]),
    min_size=1,
    max_size=3,
).map(b"".join)


@settings(max_examples=400, deadline=None)
@given(STREAMS, st.data())
def test_no_split_of_a_stream_changes_its_verdict(stream: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=12)))

    assert read(stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)) == whole(stream)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(GOOD)), st.integers(0, 10**6), st.integers(0, 255))
def test_one_byte_changed_means_the_same_however_it_comes(name: str, at: int, byte: int) -> None:
    stream = bytearray(GOOD[name][0][:600])
    stream[at % len(stream)] = byte

    assert byte_by_byte(bytes(stream)) == whole(bytes(stream))


def test_a_body_comes_as_it_comes() -> None:
    reader = RequestReader()
    reader.receive(post(b"Content-Length: 6"))

    assert reader.head() is not None
    assert (reader.body(), reader.complete) == (b"abc", False)
    reader.receive(b"defGET /")
    assert (reader.body(), reader.complete) == (b"def", True)
    assert reader.begun


def test_what_comes_while_a_request_is_served_is_kept_within_bounds() -> None:
    reader = RequestReader()
    reader.receive(request())
    reader.head()

    for _ in range(1000):
        reader.receive(b"x" * 1000)

    assert reader.dropped
    assert len(reader._buffer) <= MAX_PIPELINED_BYTES
