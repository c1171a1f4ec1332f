"""What a request's head may say, by whichever parser it was read.

Everything that two servers could understand in two ways is refused, with the connection closed after it: a head that a
proxy in front takes for one request and we for another is how requests are smuggled (RFC 9112 section 11.2).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import attrs

from domain.refusals import Code, Refusal
from entrypoints.http1.edge import Headers

MAX_HEAD_BYTES = 16 * 1024
MAX_TARGET_BYTES = 8 * 1024
MAX_HEADERS = 100
_MOST_NAMED = 64
"""Characters of a header's name that are told back."""
_METHOD = re.compile(rb"[A-Z][A-Z-]{0,31}")
_NAME = re.compile(rb"[!#$%&'*+.^`|~0-9A-Za-z-]+")
_PATH = re.compile(rb"/[\x21-\x22\x24-\x7e]*")
"""Visible characters; no fragment, which is never sent (RFC 9110 section 7.1)."""
_ABSOLUTE = re.compile(rb"https?://([^/?#]+)([/?][\x21-\x22\x24-\x7e]*)?", re.IGNORECASE)
_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]{2,45}\]|[0-9A-Za-z._~!$&'()*+,;=%-]{1,255})(?::[0-9]{1,5})?")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


@attrs.frozen
class Head:
    """A head that can be understood in one way only."""

    method: str
    version: str
    raw_path: bytes = attrs.field(repr=False)  # keys get pasted into any of these three
    query: bytes = attrs.field(repr=False)
    headers: Headers = attrs.field(repr=False)
    """Names in lower case."""
    length: int
    """Bytes of the body; 0 if it is chunked."""
    chunked: bool
    expects_continue: bool
    keeps_alive: bool
    """Whether the client may send another request. HTTP/1.0 clients are not asked: they always get a close."""


def examine(method: bytes, target: bytes, version: str, headers: Sequence[tuple[bytes, bytes]]) -> Head:
    """The head in these parts.

    Args:
        method: as it was sent.
        target: likewise.
        version: `1.1`.
        headers: names as they were sent or in lower case; values may have blanks around them.

    Raises:
        Refusal: of what could be understood in several ways, or is not spoken here.
    """
    if version not in {"1.0", "1.1"}:
        raise Refusal(Code.HTTP_VERSION_NOT_SUPPORTED, "Only HTTP/1.1 and HTTP/1.0 are spoken here.")
    if len(target) > MAX_TARGET_BYTES:
        raise target_too_long()
    if not _METHOD.fullmatch(method):
        raise malformed("a method is a word in capital letters")
    given = _plain_headers(headers)
    values = _by_name(given)
    hosts = values.get(b"host", ())
    if len(hosts) > 1 or (not hosts and version == "1.1"):
        raise malformed("it needs exactly one Host header")
    if hosts and not _HOST.fullmatch(hosts[0]):
        raise malformed("its Host header is not a host")
    raw_path, authority = _path_of(target)
    if authority is not None:  # replaces Host (RFC 9112 section 3.2.2)
        given = [(b"host", authority), *((name, value) for name, value in given if name != b"host")]
    path, _, query = raw_path.partition(b"?")
    tokens = _tokens(values.get(b"connection", ()))
    _require_no_websocket(tokens, values)
    length, chunked = _framing(version, values)
    return Head(
        method=method.decode("ascii"),
        version=version,
        raw_path=path,
        query=query,
        headers=given,
        length=length,
        chunked=chunked,
        expects_continue=_expectation(values) and version == "1.1",
        keeps_alive=version == "1.1" and b"close" not in tokens,
    )


def malformed(what: str) -> Refusal:
    """A request that breaks HTTP's grammar; `what` completes the sentence."""
    return Refusal(Code.MALFORMED_REQUEST, f"This is not a proper HTTP request: {what}.")


def bad_framing(what: str) -> Refusal:
    """A body whose end could be understood in several ways."""
    return Refusal(Code.BAD_FRAMING, f"The request body has no certain end: {what}.")


def target_too_long() -> Refusal:
    """A request target past the bound."""
    return Refusal(Code.TARGET_TOO_LONG, f"The request target is longer than {MAX_TARGET_BYTES} bytes.")


def head_too_large() -> Refusal:
    """A head past the bounds."""
    return Refusal(
        Code.HEAD_TOO_LARGE,
        f"The request's headers are more than {MAX_HEADERS}, or larger than {MAX_HEAD_BYTES} bytes in all.",
    )


def head_too_slow(within_s: float) -> Refusal:
    """A head that does not end."""
    return Refusal(Code.HEAD_TOO_SLOW, f"The request's headers did not arrive within {within_s:.0f} s.")


def _plain_headers(headers: Sequence[tuple[bytes, bytes]]) -> Headers:
    if len(headers) > MAX_HEADERS:
        raise head_too_large()
    plain = []
    for name, value in headers:
        if not _NAME.fullmatch(name):
            if b"_" in name:  # CGI-like servers take `-` and `_` for the same
                shown = name[:_MOST_NAMED].decode("ascii", "replace")
                raise malformed(f"the header name {shown} has an underscore; write it with a hyphen")
            raise malformed("the name of a header has characters that none may have")
        if _CONTROL.search(value):
            raise malformed("the value of a header has control characters")
        plain.append((name.lower(), value.strip(b" \t")))
    return plain


def _by_name(headers: Headers) -> dict[bytes, list[bytes]]:
    found: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        found.setdefault(name, []).append(value)
    return found


def _path_of(target: bytes) -> tuple[bytes, bytes | None]:
    """Path with query, and the authority of a target in absolute form."""
    if _PATH.fullmatch(target):
        return target, None
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None:
        raise malformed("its target is no path, such as /api/chat")
    authority, rest = absolute[1], absolute[2] or b"/"
    if not _HOST.fullmatch(authority):
        raise malformed("its target names no host")
    return (rest if rest.startswith(b"/") else b"/" + rest), authority


def _tokens(values: Sequence[bytes]) -> set[bytes]:
    return {token.strip(b" \t").lower() for value in values for token in value.split(b",")}


def _require_no_websocket(connection: set[bytes], values: dict[bytes, list[bytes]]) -> None:
    """Any other upgrade is passed over, as the RFC lets a server do, and answered in HTTP/1.1; `h2c` too."""
    if b"upgrade" in connection and b"websocket" in _tokens(values.get(b"upgrade", ())):
        raise Refusal(Code.WEBSOCKET_REFUSED, "Websockets are not served here. Streams are answers to plain requests.")


def _framing(version: str, values: dict[bytes, list[bytes]]) -> tuple[int, bool]:
    """Content-Length, or 0 and whether the body is chunked."""
    lengths, codings = values.get(b"content-length"), values.get(b"transfer-encoding")
    if codings is not None:
        if lengths is not None:
            raise bad_framing("Content-Length and Transfer-Encoding must not be sent together")
        if version != "1.1":
            raise bad_framing("HTTP/1.0 has no Transfer-Encoding")
        if codings != [b"chunked"]:
            raise bad_framing("the one Transfer-Encoding that is taken is chunked")
        return 0, True
    if lengths is None:
        return 0, False
    if len(lengths) > 1 or not _LENGTH.fullmatch(lengths[0]):
        raise bad_framing("Content-Length must be sent once, and be a number")
    return int(lengths[0]), False


def _expectation(values: dict[bytes, list[bytes]]) -> bool:
    """Whether the client waits for `100 Continue`."""
    expected = values.get(b"expect")
    if expected is None:
        return False
    if [value.lower() for value in expected] != [b"100-continue"]:
        raise Refusal(Code.EXPECTATION_FAILED, "The one expectation that can be met is 100-continue.")
    return True
