"""What comes in: headers read by exact rules, and the body, bounded in size and time."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable, Sequence

import attrs
from starlette.types import Receive, Scope

from domain.keys import Secret
from domain.refusals import Code, Refusal

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@attrs.frozen
class Intake:
    """The bounds on what comes in."""

    max_body_bytes: int
    body_timeout_s: float
    trusted_proxies: Sequence[Network] = ()
    body_grace_s: float = 5.0
    """After which a body must have come at `body_floor` on the whole: a trickle costs its sender nothing."""
    body_floor: int = 1024
    """Bytes a second."""

    def deadline_s(self, came: int) -> float:
        """Seconds since its beginning in which more must come of a body, or its end."""
        return min(self.body_timeout_s, self.body_grace_s + came / self.body_floor)


class ClientGone(Exception):
    """The client left before its request was complete."""


def header(scope: Scope, name: bytes) -> bytes | None:
    """The one value of a header; None when it is absent **or given more than once**, since only one can be meant."""
    values = [value for key, value in scope["headers"] if key == name]
    return values[0] if len(values) == 1 else None


def credential_of(scope: Scope) -> Secret | None:
    """The API key that was sent: `Authorization: Bearer`, or `x-api-key` as Anthropic-style clients send it."""
    given = [(key, value) for key, value in scope["headers"] if key in (b"authorization", b"x-api-key")]
    if not given:
        return None
    values = {_bare(key, value) for key, value in given}
    repeated = len({key for key, _ in given}) < len(given)
    # A header twice, two keys that differ, a scheme other than Bearer: something was sent, and it is no key of ours.
    return Secret(values.pop() if len(values) == 1 and not repeated else "")


def _bare(name: bytes, value: bytes) -> str:
    text = value.decode("latin-1")
    if name == b"x-api-key":
        return text
    scheme, space, key = text.partition(" ")
    return key if space and scheme.lower() == "bearer" else ""


def require_plain_framing(scope: Scope) -> None:
    """One framing and no encoding.

    Raises:
        Refusal: both Content-Length and Transfer-Encoding (RFC 9112 section 6.1: possibly smuggling), or an encoded
            body: Ollama would unpack zstd that we could not have read.
    """
    names = [key for key, _ in scope["headers"]]
    if b"content-length" in names and b"transfer-encoding" in names:
        raise Refusal(Code.BAD_FRAMING, "Content-Length and Transfer-Encoding must not be sent together.")
    encodings = {value.strip().lower() for key, value in scope["headers"] if key == b"content-encoding"}
    if encodings - {b"identity", b""}:
        raise Refusal(Code.UNSUPPORTED_ENCODING, "Send the body as it is: encoded request bodies are not accepted.")


async def read_body(scope: Scope, receive: Receive, intake: Intake, take: Callable[[int], None]) -> bytes:
    """The whole body.

    Args:
        scope: the request.
        receive: its pieces.
        intake: the bounds.
        take: is told how many bytes came; raises where there is no room for them.

    Raises:
        Refusal: too large (as announced, or as it comes) or too slow.
        Overloaded: there is no room.
        ClientGone: it never came whole.
    """
    too_large = Refusal(
        Code.BODY_TOO_LARGE, f"The request body is larger than {intake.max_body_bytes} bytes, the most that is taken."
    )
    announced = header(scope, b"content-length")
    if announced is not None and announced.isdigit() and int(announced[:20]) > intake.max_body_bytes:
        raise too_large
    chunks: list[bytes] = []
    size = 0
    began_s = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout_at(began_s + intake.deadline_s(0)) as deadline:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                chunk = message.get("body", b"")
                size += len(chunk)
                if size > intake.max_body_bytes:
                    raise too_large
                take(len(chunk))
                chunks.append(chunk)
                if not message.get("more_body", False):
                    return b"".join(chunks)
                deadline.reschedule(began_s + intake.deadline_s(size))
    except TimeoutError:
        raise Refusal(
            Code.BODY_TOO_SLOW,
            f"The request body did not arrive within {intake.body_timeout_s:.0f} s, or came at less than "
            f"{intake.body_floor} bytes a second.",
        ) from None


def address_of(scope: Scope, intake: Intake) -> str:
    """The client's address: the peer's, or what a trusted proxy says it was.

    Only the rightmost entry of X-Forwarded-For is the trusted proxy's own; everything left of it is the client's
    word.
    """
    client = scope.get("client")
    peer = client[0] if client else ""
    if not intake.trusted_proxies or not _is_trusted(peer, intake.trusted_proxies):
        return peer
    forwarded = [value for key, value in scope["headers"] if key == b"x-forwarded-for"]
    if not forwarded:
        return peer
    said = forwarded[-1].rpartition(b",")[2].strip().decode("latin-1")
    try:
        return str(ipaddress.ip_address(said))
    except ValueError:
        return peer


def _is_trusted(peer: str, proxies: Sequence[Network]) -> bool:
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped  # how a socket for both families shows an IPv4 peer
    return any(address in network for network in proxies)
