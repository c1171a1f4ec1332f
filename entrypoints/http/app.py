"""The ASGI application: Starlette's lifespan and error net around the door.

Starlette's router has no routes of its own here: it would match decoded paths and redirect on slashes, and both have
been used to walk round gateways. Everything goes to the door and its closed table.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from starlette.applications import Starlette

from entrypoints.http.door import Door

Lifespan = Callable[[Starlette], AbstractAsyncContextManager[None]]


def make_app(door: Door, lifespan: Lifespan) -> Starlette:
    """The application to serve."""
    app = Starlette(lifespan=lifespan)
    app.router.redirect_slashes = False
    app.router.default = door
    return app
