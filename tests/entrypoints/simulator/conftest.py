"""A simulated backend on a real socket, and a client that sees HTTP's own chunks."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from entrypoints.simulator.models import DEFAULT_MODELS, Model
from entrypoints.simulator.serving import Running, start
from entrypoints.simulator.world import Settings, World

RECORDINGS = Path(__file__).parents[2] / "recordings"

# the models of the recordings, with what each could do
RECORDED_MODELS = (
    Model(name="smollm2:135m", capabilities=("completion", "tools")),
    Model(name="tooler:latest", capabilities=("completion", "tools")),
    Model(name="thinker:latest", capabilities=("completion", "tools", "thinking")),
    Model(name="rand:latest"),
    Model(name="loop:latest"),
    Model(name="all-minilm:latest", capabilities=("embedding",), dimension=384),
)

Serve = Callable[..., Awaitable[Running]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    running: list[Running] = []

    async def serve_one(**settings: Any) -> Running:
        models = (*DEFAULT_MODELS, *RECORDED_MODELS)
        world = World(Settings(**{"models": models, "recordings_dir": RECORDINGS, **settings}))
        backend = await start(world)
        running.append(backend)
        return backend

    yield serve_one
    for backend in running:
        await backend.stop()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(total=10)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector, auto_decompress=False) as session:
        yield session
