"""Tapes: whole exchanges recorded from a real Ollama, played back byte for byte.

A recording is a JSON file with `request`, and `response` = status, headers, chunks [[milliseconds since the request,
text of one HTTP chunk], ...] and end. `end` is "complete" when HTTP ended properly; anything else means that the
connection broke before HTTP's last chunk, and so it is played. Date, Connection, Transfer-Encoding and Content-Length
belong to the HTTP layer and are made anew.
"""

import asyncio
from pathlib import Path
from typing import Any

import attrs
import msgspec

from entrypoints.simulator.pipe import Pipe

_OF_THE_HTTP_LAYER = frozenset({"date", "connection", "transfer-encoding", "content-length", "content-type"})


@attrs.frozen(kw_only=True)
class Recording:
    """One recorded answer.

    Args:
        chunks: (seconds since the request was sent, bytes of one HTTP chunk), in order.
        is_chunked: whether the body came in HTTP chunks; else with Content-Length.
        is_complete: whether HTTP ended properly.
    """

    status: int
    content_type: str
    headers: tuple[tuple[str, str], ...]
    chunks: tuple[tuple[float, bytes], ...]
    is_chunked: bool
    is_complete: bool

    @property
    def body(self) -> bytes:
        """All bytes together."""
        return b"".join(piece for _, piece in self.chunks)


def read_recording(path: Path) -> Recording:
    """Read one tape; raises FileNotFoundError or msgspec.DecodeError."""
    response: dict[str, Any] = msgspec.json.decode(path.read_bytes())["response"]
    headers = [(name, value) for name, value in response["headers"]]
    by_name = {name.lower(): value for name, value in headers}
    return Recording(
        status=response["status"],
        content_type=by_name.get("content-type", ""),
        headers=tuple((name, value) for name, value in headers if name.lower() not in _OF_THE_HTTP_LAYER),
        chunks=tuple((milliseconds / 1000, text.encode()) for milliseconds, text in response["chunks"]),
        is_chunked="transfer-encoding" in by_name,
        is_complete=response["end"] == "complete",
    )


async def play(recording: Recording, pipe: Pipe, *, timed: bool) -> None:
    """Send a recorded answer, with the recorded pauses if `timed`."""
    length = None if recording.is_chunked or not recording.is_complete else len(recording.body)
    await _pause(recording.chunks[0][0] if timed and recording.chunks else 0.0)
    await pipe.open(recording.status, recording.content_type, length=length, headers=recording.headers)
    last_s = recording.chunks[0][0] if recording.chunks else 0.0
    for at_s, piece in recording.chunks:
        await _pause(at_s - last_s if timed else 0.0)
        last_s = at_s
        await pipe.write(piece)
    if recording.is_complete:
        await pipe.finish()
    else:
        await pipe.close()


async def _pause(pause_s: float) -> None:
    await asyncio.sleep(max(0.0, pause_s))
