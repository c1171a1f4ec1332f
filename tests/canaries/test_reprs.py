"""Every object of ours in a gateway in the middle of a call, as a debugger or a log line would show it."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator

import pytest
import uvloop

from entrypoints.embedded import EmbeddedStores
from tests.canaries import places
from tests.canaries.running import running
from tests.e2e.house import House, Key
from tests.e2e.programs import PEPPER

pytestmark = pytest.mark.stores

PROMPT = "dibbler-in-the-prompt"
TOKEN = "antechinus-backend-token-0123456789"
PROMPT_LOG_KEY = "phascogale-prompt-log-key-long-enough-for-anybody"
OURS = ("domain.", "application.", "adapters.", "entrypoints.")


@pytest.fixture(scope="module")
def house(stores: EmbeddedStores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House.open(stores, tmp_path_factory.mktemp("reprs"), "--tokens=40", "--token-delay-ms=50") as opened:
        opened.extra["OLLAMA_BACKENDS"] = f'[{{"name":"sim","url":"{opened.simulator.url}","token":"{TOKEN}"}}]'
        opened.extra["OLLAMA_BASE_URL"] = ""
        opened.extra["PROMPT_LOG_KEY"] = PROMPT_LOG_KEY
        yield opened


def test_no_object_of_ours_shows_a_secret_or_a_prompt(house: House) -> None:
    key = house.new_key()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        shown = loop.run(_shown(house, key))

    secrets = {
        "the key": list(places.pieces(key.text.removeprefix(key.prefix))),
        "the pepper": [PEPPER],
        "a backend's token": [TOKEN],
        "the prompt log's key": [PROMPT_LOG_KEY],
        "a prompt": [PROMPT],
    }
    assert len(shown) > 50
    assert places.found(secrets, shown) == []


async def _shown(house: House, key: Key) -> dict[str, bytes]:
    """The text of all that there is, by kind, and that of all tasks."""
    body = {"model": "sim-chat", "messages": [{"role": "user", "content": PROMPT}]}
    shown: dict[str, bytes] = {}
    async with (
        running(house) as gateway,
        gateway.client.stream("POST", "/api/chat", json=body, headers=key.headers) as answer,
    ):
        await anext(answer.aiter_raw())
        for one in gc.get_objects():
            kind = type(one)
            if str(kind.__module__).startswith(OURS):
                name = f"{kind.__module__}.{kind.__qualname__}"
                shown[name] = shown.get(name, b"") + repr(one).encode(errors="replace")
        shown["tasks"] = "\n".join(map(repr, asyncio.all_tasks())).encode()
    return shown
