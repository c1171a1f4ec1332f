"""One request on its way through the server: what came in, what it is charged with, how answers leave."""

from typing import Any

import attrs
from aiohttp import web

from entrypoints.simulator.behaviours import HEALTHY, Behaviour
from entrypoints.simulator.log import Ended, Entry
from entrypoints.simulator.pipe import Pipe
from entrypoints.simulator.world import World


@attrs.frozen(kw_only=True)
class Exchange:
    """A request with its body read, its log entry and its behaviour.

    Args:
        path: decoded, as Ollama routes on it.
        raw: the body's bytes.
        body: the decoded body, keys in lower case; empty for a GET.
    """

    world: World
    request: web.Request
    path: str
    entry: Entry
    behaviour: Behaviour
    raw: bytes
    body: dict[str, Any]

    def end(self, ended: Ended) -> None:
        """Write the end into the log of truth."""
        self.world.log.end(self.entry, ended)

    @property
    def was_reset(self) -> bool:
        """Whether the client has left by a reset."""
        return left_by_reset(self.request)

    async def reply(
        self, status: int, content_type: str, octets: bytes, *, ended: Ended = Ended.ANSWERED
    ) -> web.StreamResponse:
        """Send a whole answer with Content-Length, through the pipe if a behaviour wants to touch it."""
        entry = self.entry
        entry.status = status
        entry.phase = "sending"
        if self.behaviour is HEALTHY:
            self.end(ended)
            return web.Response(status=status, body=octets, headers={"Content-Type": content_type})
        pipe = Pipe(self.request, self.behaviour)
        await pipe.open(status, content_type, length=len(octets))
        await pipe.write(octets)
        await pipe.finish()
        self.end(ended)
        return pipe.response


def left_by_reset(request: web.Request) -> bool:
    """Whether a connection that is gone was reset; otherwise it ended with a FIN."""
    reason = request.content.exception()
    return isinstance(reason, OSError) and reason.errno is not None
