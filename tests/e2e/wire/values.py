"""Hostile values of header fields, of clients and of backends. `canary` marks what must come out nowhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

CANARY = b"canary"

_ENDS: Mapping[str, bytes] = {
    "CR LF": b"x\r\nX-Canary: canary",
    "LF": b"x\nX-Canary: canary",
    "CR": b"x\rX-Canary: canary",
    "CR CR LF": b"x\r\r\nX-Canary: canary",
    "LF CR": b"x\n\rX-Canary: canary",
    "a fold": b"x\r\n canary",
    "a fold by tab": b"x\r\n\tcanary",
    "a whole answer": b"x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\ncanary",
    "a length": b"x\r\nContent-Length: 0\r\n\r\ncanary",
    "a cookie": b"x\r\nSet-Cookie: canary=1",
    "NUL": b"x\0canary",
    "NUL and CR LF": b"x\0\r\nX-Canary: canary",
    "escape": b"\x1b]0;canary\x07",
    "escape, colours": b"\x1b[31mcanary\x1b[0m",
    "backspace": b"x\x08canary",
    "delete": b"x\x7fcanary",
    "vertical tab": b"x\x0bcanary",
    "form feed": b"x\x0ccanary",
    "control byte": b"x\x01canary",
    "next line": b"x\xc2\x85X-Canary: canary",
    "line separator": b"x\xe2\x80\xa8X-Canary: canary",
    "a letter that folds to LF": b"x\xe5\x98\x8aX-Canary: canary",
    "letters that fold to CR LF": b"x\xe5\x98\x8d\xe5\x98\x8aX-Canary: canary",
    "escaped CR LF": b"x%0d%0aX-Canary:%20canary",
    "escaped twice": b"x%250d%250aX-Canary: canary",
    "backslashes": b"x\\r\\nX-Canary: canary",
    "unicode escapes": b"x\\u000d\\u000aX-Canary: canary",
    "bytes above ASCII": b"\xff\xfe canary",
    "half a letter": b"canary \xc3",
    "a surrogate": b"canary \xed\xa0\x80",
    "markup": b"<script>canary</script>",
    "a template": b"{{canary}}${canary}#{canary}%{canary}",
    "a shell": b"`canary`; $(canary) | canary",
    "a log's lookup": b"${jndi:ldap://canary.example/x}",
    "a statement": b"canary'; drop table audit; --",
    "a format": b"%s%s%s%n canary {0} {canary.__class__}",
    "a path": b"../../../../canary",
    "an id of ours": b"req_" + b"canary".ljust(32, b"0"),
    "a comma": b"canary, canary",
    "8 KiB": b"canary" * 1365,
}
_CLIENTS_FIELDS = (b"X-Request-Id", b"User-Agent", b"X-Forwarded-For")
_BACKENDS_FIELDS = (b"X-Request-Id", b"Content-Type", b"X-Whatever")
FROM_CLIENTS: Mapping[str, bytes] = {
    f"{field.decode()}: {name}": field + b": " + value
    for field in _CLIENTS_FIELDS
    for name, value in _ENDS.items()
}  # fmt: skip
"""One field more in a right call."""
_ANSWERS_FIELDS: Sequence[bytes] = (
    b"Set-Cookie: canary=1",
    b"Location: http://canary.example/",
    b"Refresh: 0; url=http://canary.example/",
    b"Access-Control-Allow-Origin: http://canary.example",
    b"Access-Control-Allow-Credentials: canary",
    b"WWW-Authenticate: Basic realm=canary",
    b"Proxy-Authenticate: Basic realm=canary",
    b"Server: canary",
    b"Via: 1.1 canary",
    b"X-Powered-By: canary",
    b"X-Error-Code: canary",
    b"X-RateLimit-Remaining-Requests: canary",
    b"Retry-After: canary",
    b"X-Should-Retry: canary",
    b"Content-Security-Policy: canary",
    b"Content-Disposition: attachment; filename=canary",
    b"Content-Location: /canary",
    b"Alt-Svc: h3=canary:443",
    b"Upgrade: canary",
    b"Connection: canary",
    b"Keep-Alive: canary",
    b"Trailer: canary",
    b"Strict-Transport-Security: canary",
    b"Clear-Site-Data: canary",
    b"X-Accel-Redirect: /canary",
    b"X-Sendfile: /canary",
    b"Authorization: Bearer canary",
)
FROM_BACKENDS: Mapping[str, bytes] = {
    f"{field.decode()}: {name}": field + b": " + value + b"\r\n"
    for field in _BACKENDS_FIELDS
    for name, value in _ENDS.items()
} | {field.decode(): field + b"\r\n" for field in _ANSWERS_FIELDS}
"""Lines more in the head of a right answer."""
