"""The ASGI application: Starlette's lifespan around the door.

Starlette's router has no routes of its own here: it would match decoded paths and redirect on slashes, and both have
been used to walk round gateways. Its middleware is left out as well: the door answers its own errors, and each layer
would cost every chunk a call.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from starlette.applications import Starlette
from starlette.types import ASGIApp

from entrypoints.http.door import Door

Lifespan = Callable[[Starlette], AbstractAsyncContextManager[None]]


class _Bare(Starlette):
    """An application whose router is asked directly."""

    def build_middleware_stack(self) -> ASGIApp:
        return self.router


def make_app(door: Door, lifespan: Lifespan) -> Starlette:
    """The application to serve."""
    app = _Bare(lifespan=lifespan)
    app.router.redirect_slashes = False
    app.router.default = door
    return app
