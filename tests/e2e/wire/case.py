"""A raw case: bytes that are sent, and which verdicts are right."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fnmatch import fnmatchcase

import attrs

KEY = "nz_" + "k" * 48
"""Stands for a real key in what is sent, and is as long."""
BODY = json.dumps({
    "model": "sim-chat", "stream": False, "messages": [{"role": "user", "content": "Hi"}],
    "options": {"num_predict": 1},
}).encode()  # fmt: skip
SMUGGLED_WORD = "smuggled"
SMUGGLED_BODY = BODY.replace(b'"Hi"', b'"' + SMUGGLED_WORD.encode() + b'"')
AUTHORIZATION = f"Authorization: Bearer {KEY}"
CLOSING = "Connection: close"

Line = str | bytes | None
Verdicts = Sequence[str]
"""Patterns of verdicts without their codes, as `4?? close`; any of them is right."""
SERVED: Verdicts = ("200 served close",)
BAD: Verdicts = ("400 close",)
REFUSED: Verdicts = ("4?? close", "501 close", "505 close")
TOLD: Verdicts = ("4??*",)
"""Read well, and refused by the application: whether the connection stays open is its own choice."""
LEFT: Verdicts = ("nothing close", "4?? close")
"""A client that went before its request was whole: an answer is not owed."""
SERVED_OR_BAD: Verdicts = (*SERVED, *BAD)
BY_CADDY: Verdicts = ("4?? *", "501 *", "502 close", "505 *", "nothing close")
"""However Caddy words its own refusal: a body that it cannot read ends in its 502."""
FRONT: Verdicts = ("200 front *",)
"""Caddy's own empty answer: for a site that is not there, and to a client that has gone."""


@attrs.frozen(kw_only=True)
class Case:
    """One conversation.

    Args:
        name: says what is odd.
        writes: given to the kernel one by one.
        want: of a gateway of ours.
        lenient: more that Hypercorn's stock parser may say; what it lets through is harmless, and the reason is in
            the case's name.
        caddy: more that Caddy may make of it: it mends some, and refuses others in its own words.
        then_fin: the client ends its side at once.
        head_only: the first request is HEAD.
        pipelined: a second request in the same bytes may be served, as one of its own.
    """

    name: str
    writes: Sequence[bytes]
    want: Verdicts
    lenient: Verdicts = ()
    caddy: Verdicts = ()
    then_fin: bool = False
    head_only: bool = False
    pipelined: bool = False

    def written(self, key: str) -> list[bytes]:
        """What is sent by the holder of a key."""
        return [written.replace(KEY.encode(), key.encode()) for written in self.writes]


def allows(patterns: Verdicts, shape: str) -> bool:
    """Whether a verdict is one of these."""
    return any(fnmatchcase(shape, pattern) for pattern in patterns)


def head(
    *fields: Line,
    start: Line = "POST /api/chat HTTP/1.1",
    host: Line = "Host: localhost",
    key: Line = AUTHORIZATION,
    closing: Line = CLOSING,
) -> bytes:
    """The head of a request; the lines are written as they are, line ends in them included, and None leaves one out."""
    lines = [start, host, key, *fields, closing, ""]
    raw = [line.encode("latin-1") if isinstance(line, str) else line for line in lines if line is not None]
    return b"\r\n".join(raw) + b"\r\n"


def length(body: bytes = BODY) -> str:
    """The right Content-Length."""
    return f"Content-Length: {len(body)}"


def chat(*fields: Line, body: bytes = BODY, **others: Line) -> bytes:
    """A right call, but for what is given."""
    return head(*fields, length(body), **others) + body


def chunk(body: bytes = BODY, size: bytes | None = None, end: bytes = b"\r\n") -> bytes:
    """One chunk."""
    return (f"{len(body):x}".encode() if size is None else size) + b"\r\n" + body + end


LAST = b"0\r\n\r\n"


def chunked(*fields: Line, body: bytes | None = None, **others: Line) -> bytes:
    """A right call in one chunk, but for what is given; `body` with its chunks."""
    raw = chunk() + LAST if body is None else body
    return head(*fields, "Transfer-Encoding: chunked", **others) + raw


SMUGGLED = chat(body=SMUGGLED_BODY)
"""A whole second call: whoever finds it where a body should be has been fooled."""
