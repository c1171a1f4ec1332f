"""The first line and the host: methods, targets in all four forms, versions."""

from __future__ import annotations

from tests.e2e.wire.case import (
    BAD,
    BODY,
    FRONT,
    REFUSED,
    SERVED,
    SERVED_OR_BAD,
    TOLD,
    Case,
    Line,
    Verdicts,
    chat,
    chunked,
    head,
)

_VERSION: Verdicts = ("400 close", "505 close")
_METHOD: Verdicts = ("400 close", "404 *", "405 *", "501 close")


def _start(
    name: str, start: str | bytes, want: Verdicts = REFUSED, *, lenient: Verdicts = (), caddy: Verdicts = ()
) -> Case:
    return Case(name=f"start: {name}", writes=[chat(start=start)], want=want, lenient=lenient, caddy=caddy)


def _target(
    name: str,
    target: str | bytes,
    want: Verdicts = ("400 close", "404 *"),
    *,
    lenient: Verdicts = (),
    caddy: Verdicts = (),
) -> Case:
    raw = target.encode() if isinstance(target, str) else target
    start = b"POST " + raw + b" HTTP/1.1"
    return Case(name=f"target: {name}", writes=[chat(start=start)], want=want, lenient=lenient, caddy=caddy)


def _method(method: str, want: Verdicts = _METHOD, *, target: str = "/api/chat", lenient: Verdicts = ()) -> Case:
    return Case(
        name=f"method: {method[:40]} {target}",
        writes=[chat(start=f"{method} {target} HTTP/1.1")],
        want=want,
        lenient=lenient,
        caddy=FRONT,
        head_only=method == "HEAD",
    )


def _host(
    name: str, *fields: Line, want: Verdicts = BAD, lenient: Verdicts = (), caddy: Verdicts = (), version: str = "1.1"
) -> Case:
    """What is said about the host, in place of the right field."""
    raw = chat(*fields, host=None, start=f"POST /api/chat HTTP/{version}")
    return Case(name=f"host: {name}", writes=[raw], want=want, lenient=lenient, caddy=(*caddy, *FRONT))


LINES = [
    _start("HTTP/1.1", "POST /api/chat HTTP/1.1", SERVED),
    _start("HTTP/1.0", "POST /api/chat HTTP/1.0", SERVED),
    _start("HTTP/1.2", "POST /api/chat HTTP/1.2", _VERSION, lenient=SERVED, caddy=SERVED),
    _start("HTTP/1.9", "POST /api/chat HTTP/1.9", _VERSION, lenient=SERVED, caddy=SERVED),
    _start("HTTP/2.0", "POST /api/chat HTTP/2.0", _VERSION, lenient=SERVED),
    _start("HTTP/0.9", "POST /api/chat HTTP/0.9", _VERSION, lenient=SERVED),
    _start("HTTP/1", "POST /api/chat HTTP/1", _VERSION),
    _start("HTTP/1.1.1", "POST /api/chat HTTP/1.1.1", _VERSION),
    _start("HTTP/01.1", "POST /api/chat HTTP/01.1", _VERSION),
    _start("HTTP/1.10", "POST /api/chat HTTP/1.10", _VERSION),
    _start("HTTP/1,1", "POST /api/chat HTTP/1,1", _VERSION),
    _start("lower-case http", "POST /api/chat http/1.1", _VERSION),
    _start("another protocol", "POST /api/chat ICY/1.1", _VERSION),
    _start("RTSP", "POST /api/chat RTSP/1.0", _VERSION),
    _start("no version", "POST /api/chat"),
    _start("no target", "POST HTTP/1.1"),
    _start("only a method", "POST"),
    _start("a space behind the version", "POST /api/chat HTTP/1.1 "),
    _start("two spaces", "POST  /api/chat  HTTP/1.1"),
    _start("tabs", "POST\t/api/chat\tHTTP/1.1"),
    _start("vertical tab", "POST\x0b/api/chat HTTP/1.1"),
    _start("two versions", "POST /api/chat HTTP/1.1 HTTP/1.1"),
    _start("a response", "HTTP/1.1 200 OK"),
    _start("a line of 1 MiB", "POST /" + "a" * 1_048_576 + " HTTP/1.1", ("414 close", "431 close")),
    Case(name="start: HTTP/0.9, and nothing more", writes=[b"GET /api/tags\r\n\r\n"], want=REFUSED),
    Case(
        name="start: HTTP/1.0, kept alive",
        writes=[chat(start="POST /api/chat HTTP/1.0", closing="Connection: keep-alive")],
        want=("200 served open", "200 served close"),
    ),
    Case(
        name="start: TLS where none is spoken",
        writes=[bytes.fromhex("16030100f8010000f40303") + bytes(200) + b"\r\n\r\n"],
        want=(*BAD, "nothing close"),
    ),
    Case(name="start: noise", writes=[bytes(range(256)) * 8], want=(*BAD, "nothing close")),
    Case(name="start: noise without a line end", writes=[b"\xff" * 70_000], want=REFUSED),
]

METHODS = [
    _method("POST", SERVED),
    _method("post", lenient=SERVED),
    _method("Post", lenient=SERVED),
    _method("GET"),
    _method("HEAD"),
    _method("PUT"),
    _method("DELETE"),
    _method("OPTIONS"),
    _method("OPTIONS", target="*"),
    _method("GET", target="*"),
    _method("POST", target="*"),
    _method("TRACE"),
    _method("TRACE", target="/"),
    _method("TRACK"),
    _method("CONNECT", target="localhost:11434"),
    _method("CONNECT", target="/api/chat"),
    _method("CONNECT", target="127.0.0.1:22"),
    _method("PRI", target="*"),
    _method("QUERY"),
    _method("PROPFIND"),
    _method("M-SEARCH", target="*"),
    _method("FOO"),
    _method("A" * 1000, (*_METHOD, "431 close", "414 close")),
    _method("POST:"),
    _method("PO(ST"),
    _method("PO\0ST"),
    _method('"POST"'),
    _method("POST,GET"),
    _method("P\xd6ST"),
]

_EVIL = "other.example"
TARGETS = [
    _target("absolute", "http://localhost/api/chat", (*SERVED,), lenient=TOLD),
    _target("absolute with a port", "http://localhost:8080/api/chat", (*SERVED,), lenient=TOLD, caddy=FRONT),
    _target("absolute, another case", "HTTP://LOCALHOST/api/chat", (*SERVED, *TOLD)),
    _target("absolute, of TLS", "https://localhost/api/chat", (*SERVED, *TOLD)),
    _target("absolute, another host", f"http://{_EVIL}/api/chat", (*SERVED, *TOLD), caddy=FRONT),
    _target("absolute, and closed", "http://localhost/api/pull", ("403 *", "404 *")),
    _target("absolute, and the backend's", "http://127.0.0.1:11434/api/chat", (*SERVED, *TOLD), caddy=FRONT),
    _target("absolute, no path", "http://localhost", TOLD),
    _target("absolute, no path but a query", "http://localhost?x=1", TOLD),
    _target("absolute, no host", "http:///api/chat", caddy=(*FRONT, *SERVED)),
    _target("absolute, with a password", "http://a:b@localhost/api/chat", TOLD, caddy=SERVED),
    _target("absolute, another scheme", "ftp://localhost/api/chat", TOLD, caddy=SERVED),
    _target("absolute, of files", "file:///api/chat", caddy=(*FRONT, *SERVED)),
    _target("absolute, of scripts", "javascript:alert(1)", caddy=FRONT),
    _target("absolute, two slashes", "http://localhost//api/chat", TOLD),
    _target("absolute, twice", "http://localhost/http://localhost/api/chat", TOLD),
    _target("no scheme", "//localhost/api/chat"),
    _target("authority", "localhost:80"),
    _target("a path without a slash", "api/chat"),
    _target("asterisk and a path", "*/api/chat"),
    _target("query", "/api/chat?beta=true", SERVED),
    _target("empty query", "/api/chat?", SERVED),
    _target("query with another model", "/api/chat?model=other&stream=true", SERVED),
    _target("query with a query", "/api/chat?a?b=/api/pull", SERVED),
    _target("query with an encoded line end", "/api/chat?a=%0d%0aHost:%20x", SERVED),
    _target("query of 4 KiB", "/api/chat?" + "a" * 4096, SERVED),
    _target("query on a closed route", "/api/pull?x=/api/chat", ("403 *",)),
    _target("only a query", "?/api/chat"),
    _target("fragment", "/api/chat#f"),
    _target("query and fragment", "/api/chat?a=1#f", ("400 close", "404 *"), lenient=SERVED, caddy=SERVED),
    _target("only a fragment", "#f"),
    _target("space in the query", "/api/chat?a b"),
    _target("tab in the query", "/api/chat?a\tb", caddy=SERVED),
    _target("NUL", b"/api/chat\0"),
    _target("NUL in the query", b"/api/chat?\0", REFUSED),
    _target("delete in the query", b"/api/chat?\x7f", REFUSED),
    _target("control byte in the query", b"/api/chat?\x01", REFUSED),
    _target("bytes above ASCII", b"/api/ch\xc3\xa4t"),
    _target("bytes above ASCII in the query", b"/api/chat?\xff", REFUSED, lenient=SERVED, caddy=SERVED),
    _target("carriage return", b"/api/chat\rX: y"),
    _target("line feed", b"/api/chat HTTP/1.1\nX: y", lenient=SERVED, caddy=SERVED),
    _target("half an escape", "/api/chat%"),
    _target("half an escape in the query", "/api/chat?%", SERVED),
    _target("9 KiB", "/" + "a" * 9000, ("404 *", "414 close")),
    _target("17 KiB", "/" + "a" * 17_000, ("414 close", "431 close"), lenient=TOLD),
    _target("17 KiB of query", "/api/chat?" + "a" * 17_000, ("414 close", "431 close"), lenient=SERVED),
    _target("a thousand times ..", "/.." * 1000 + "/api/chat"),
]

HOSTS = [
    _host("right", "Host: localhost", want=SERVED),
    _host("with a port", "Host: localhost:8080", want=SERVED),
    _host("another case", "hOST: LOCALHOST", want=SERVED),
    _host("an address", "Host: [::1]:8080", want=SERVED),
    _host("of somebody else", f"Host: {_EVIL}", want=SERVED),
    _host("a trailing dot", "Host: localhost.", want=SERVED_OR_BAD),
    _host("none"),
    _host("none in HTTP/1.0", want=SERVED, version="1.0"),
    _host("empty", "Host:", want=SERVED_OR_BAD),
    _host("twice the same", "Host: localhost", "Host: localhost"),
    _host("twice, differing", "Host: localhost", f"Host: {_EVIL}"),
    _host("twice, differing, in HTTP/1.0", "Host: localhost", f"Host: {_EVIL}", version="1.0", lenient=SERVED),
    _host("a list", f"Host: localhost, {_EVIL}", lenient=SERVED),
    _host("space inside", f"Host: localhost {_EVIL}", lenient=SERVED),
    _host("slash", "Host: localhost/api/pull", lenient=SERVED),
    _host("at sign", f"Host: localhost@{_EVIL}", lenient=SERVED),
    _host("query", "Host: localhost?x", lenient=SERVED),
    _host("fragment", "Host: localhost#x", lenient=SERVED),
    _host("backslash", "Host: localhost\\x", lenient=SERVED),
    _host("a port that is none", "Host: localhost:http", lenient=SERVED, caddy=SERVED),
    _host("a port too large", "Host: localhost:99999999", want=SERVED_OR_BAD, caddy=SERVED),
    _host("two ports", "Host: localhost:80:80", lenient=SERVED),
    _host("an open bracket", "Host: [::1", lenient=SERVED),
    _host("bytes above ASCII", "Host: löcal".encode(), lenient=SERVED),
    _host("folded", "Host:\r\n localhost", lenient=SERVED, caddy=SERVED),
    _host("space before the colon", "Host : localhost"),
    _host("NUL", "Host: localhost\0"),
    _host("10 KiB", "Host: " + "a" * 10_000, want=SERVED_OR_BAD),
]

LOOKS = [
    Case(name="look: a body on GET", writes=[chat(start="GET /api/tags HTTP/1.1")], want=("200 close",)),
    Case(name="look: chunks on GET", writes=[chunked(start="GET /api/tags HTTP/1.1")], want=("200 close",)),
    Case(
        name="look: a body on HEAD", writes=[chat(start="HEAD /api/tags HTTP/1.1")], want=("200 close",), head_only=True
    ),
    Case(
        name="look: a whole call as the body of GET",
        writes=[head("Content-Length: 0", start="GET /api/tags HTTP/1.1", closing=None) + chat()],
        want=("200 + 200 served close", "200 close"),
        pipelined=True,
    ),
    Case(name="look: a body on health", writes=[chat(start="GET /healthz HTTP/1.1", key=None)], want=("200 close",)),
    Case(
        name="look: a body of 1 MiB on a closed route",
        writes=[head("Content-Length: 1048576", start="POST /api/pull HTTP/1.1") + BODY],
        want=("403 close",),
    ),
]

CASES = [*LINES, *METHODS, *TARGETS, *HOSTS, *LOOKS]
