"""Where a backend is, and the headers that it is spoken to with.

An address comes from the operator, so it is trusted more than a caller and less than the code: only http and https,
no credentials in the URL (they end in logs), no query or fragment (paths are ours), and never a link-local address:
169.254.169.254 and its kin hand out a cloud machine's own credentials. Names are checked again each time they are
resolved (`transport.GuardedResolver`), because DNS may answer differently later.
"""

from __future__ import annotations

import ipaddress
import re

import attrs
from yarl import URL

from domain.keys import Secret

USER_AGENT = "neuronetz-gateway"
DEFAULT_MOST_IN_FLIGHT = 4
_LEAST_TELLING = 8

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", re.ASCII)
_HEADER_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?", re.ASCII)
_BACKEND_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_HEADERS_OF_OURS = frozenset({
    "accept", "accept-encoding", "connection", "content-encoding", "content-length", "content-type", "cookie",
    "expect", "host", "origin", "te", "trailer", "transfer-encoding", "upgrade", "user-agent", "x-request-id",
})  # fmt: skip
_METADATA_ADDRESSES = frozenset({ipaddress.ip_address("fd00:ec2::254"), ipaddress.ip_address("100.100.100.200")})


def forbidden(address: str) -> bool:
    """Whether an IP address may never be a backend: link-local, or a cloud's metadata address."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address):
        parsed = parsed.ipv4_mapped or parsed.sixtofour or parsed
    return parsed.is_link_local or parsed in _METADATA_ADDRESSES


def _a_name(_: object, __: object, name: str) -> None:
    if not _BACKEND_NAME.fullmatch(name):
        raise ValueError("a backend's name is 1 to 64 letters, digits, dots, dashes and underscores")


def _a_header(_: object, __: object, header: str) -> None:
    if not _HEADER_NAME.fullmatch(header) or header.lower() in _HEADERS_OF_OURS:
        raise ValueError("the token's header must be a header name that HTTP itself does not use")


def _a_scheme(_: object, __: object, scheme: str) -> None:
    if scheme and not _HEADER_NAME.fullmatch(scheme):
        raise ValueError("the token's scheme must be one word, such as Bearer, or empty")


def _a_token(_: object, __: object, token: Secret | None) -> None:
    if token is not None and not _HEADER_VALUE.fullmatch(token.unwrap()):
        raise ValueError("the token must be visible ASCII")


def _positive(_: object, __: object, number: int) -> None:
    if number < 1:
        raise ValueError("a backend must take at least one call at once")


def _parse_url(text: str | URL) -> URL:
    try:
        url = URL(str(text).strip())
        host, port = url.host, url.port
    except ValueError:
        raise ValueError("the URL is malformed: write it as http://host:11434") from None
    if url.scheme not in ("http", "https") or not host or not port:
        raise ValueError("the URL must be http or https and name a host: write it as http://host:11434")
    if url.user is not None or url.password is not None:
        raise ValueError("the URL must not hold credentials: give the token by itself")
    if url.raw_query_string or url.raw_fragment or "?" in str(text) or "#" in str(text):
        raise ValueError("the URL must have no query and no fragment")
    if forbidden(host):
        raise ValueError("link-local and metadata addresses are never backends")
    return url.with_path(url.path.rstrip("/"))


@attrs.frozen(kw_only=True)
class BackendAddress:
    """One backend as the operator names it."""

    name: str = attrs.field(validator=_a_name)
    url: URL = attrs.field(converter=_parse_url)
    """With its path prefix, if it has one, and no slash at the end."""
    token: Secret | None = attrs.field(default=None, validator=_a_token)
    header: str = attrs.field(default="Authorization", validator=_a_header)
    """The header that carries the token."""
    scheme: str = attrs.field(default="Bearer", validator=_a_scheme)
    """The word before the token; empty for a bare token."""
    most_in_flight: int = attrs.field(default=DEFAULT_MOST_IN_FLIGHT, validator=_positive)
    """Calls that the backend is given at once."""

    def target(self, path: str) -> URL:
        """The URL of one of Ollama's own paths, such as `/api/chat`."""
        return self.url.with_path(self.url.path.rstrip("/") + path)

    def headers(self) -> dict[str, str]:
        """What every request carries. The one place where the token is unwrapped; do not log the result."""
        sent = {"Accept-Encoding": "identity", "User-Agent": USER_AGENT}
        if self.token is not None:
            sent[self.header] = f"{self.scheme} {self.token.unwrap()}".strip()
        return sent

    def betrayed_by(self, octets: bytes) -> bool:
        """Whether a backend has put its token into an answer. A token of a few letters may stand there by chance."""
        token = "" if self.token is None else self.token.unwrap()
        return len(token) >= _LEAST_TELLING and token.encode() in octets

    def redact(self, text: str) -> str:
        """The text without the token, should a backend have echoed it."""
        return text if self.token is None else text.replace(self.token.unwrap(), "***")
