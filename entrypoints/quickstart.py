"""`neuronetz-gateway quickstart`: from nothing to a streamed answer, with real stores, step by step.

    PostgreSQL and Valkey from wheels -> migrate -> tenant and key -> Ollama, or the simulated backend -> serve
    -> one real streamed answer -> copy-paste lines -> go on serving

What is given explicitly wins: `DATABASE_URL` and `REDIS_URL` together replace the embedded stores, `OLLAMA_BASE_URL`
or `OLLAMA_BACKENDS` the search for a backend. Everything else is kept in the state directory, so that the next start
goes on where this one ended, and other commands find the same stores (`gateway.env` there).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import httpx
import msgspec
import uvloop
from rich.console import Console
from rich.markup import escape

from adapters.ollama.model_backend import probe
from adapters.postgres.migrating import upgrade
from application.administer_keys import AdministerKeys
from application.administer_tenants import AdministerTenants
from domain.faults import BackendFault
from domain.keys import Secret
from domain.ports.registers import Taken
from entrypoints import env_file
from entrypoints.cli.wiring import OperatorTools, operator_tools
from entrypoints.embedded.state_dir import default_state_dir
from entrypoints.embedded.supervisor import EmbeddedStores, start_stores
from entrypoints.launch import listen, serve_on
from entrypoints.observing import set_up_logs
from entrypoints.settings import LogFormat, Settings
from entrypoints.simulator.serving import start as start_simulator
from entrypoints.simulator.world import Settings as SimulatorSettings
from entrypoints.simulator.world import World

TENANT = "quickstart"
TRIAL_TENANT = "quickstart-trial"
"""Asks for the answer that later starts show, so that the user's own tenant holds nothing but the user's keys."""
FIRST_KEY = "first"
STATE_FILE = "gateway.env"
_ACTOR = "quickstart"
_TRIAL_S = 600
_PROBE_S = 3.0
_CHECK_S = 1.0
_ANSWER_S = 120.0
_QUESTION = "Say hello in one short sentence."


class NoAnswer(Exception):
    """The gateway serves, and the model did not answer; says why."""


@attrs.frozen(kw_only=True)
class Wishes:
    """What was asked for on the command line."""

    once: bool = False
    state_dir: Path | None = None
    run_as: str | None = None
    host: str = "127.0.0.1"
    port: int = 8080


class Screen:
    """What the person at the terminal sees."""

    def __init__(self) -> None:
        self.console = Console(highlight=False)

    def step(self, sentence: str) -> None:
        """Something is done."""
        self.console.print(f"[green]✓[/] {escape(sentence)}")

    def detail(self, sentence: str) -> None:
        """Something goes on."""
        self.console.print(f"  [dim]{escape(sentence)}[/]")

    def line(self, text: str = "") -> None:
        """Plain text, never wrapped: it is meant to be copied."""
        self.console.print(text, markup=False, soft_wrap=True)


def quickstart(settings: Settings, wishes: Wishes) -> None:
    """Does all of it, and serves until a signal says to stop; with `once`, until the answer has been shown.

    Raises:
        EmbeddedError: the stores cannot run here.
        PortTaken: the port cannot be listened on.
    """
    screen = Screen()
    state = wishes.state_dir or default_state_dir(os.environ, as_root=os.geteuid() == 0)
    listener = listen(wishes.host, wishes.port)  # first, because it fails fastest
    with contextlib.ExitStack() as stack:
        stores: EmbeddedStores | None = None
        if settings.database_url is None or settings.redis_url is None or _is_ours(settings, state):
            stores = stack.enter_context(start_stores(state, run_as=wishes.run_as, on_step=screen.detail))
            settings = attrs.evolve(
                settings, database_url=Secret(stores.database_url), redis_url=Secret(stores.redis_url)
            )
            screen.step(f"PostgreSQL and Valkey are running (data in {state})")
        settings = _with_pepper(settings, state)
        _remember(state, _secrets(settings))
        _log_to_file(settings, state, stack)
        applied = upgrade(settings.need_database_url().unwrap())
        screen.step("Database is migrated" if applied else "Database is up to date")
        uvloop.run(_serve(settings, wishes, listener, screen, stores, state))


def _is_ours(settings: Settings, state: Path) -> bool:
    """Whether the URLs came from our own state file, and so name stores that run only while we do."""
    known = env_file.read(state / STATE_FILE) if (state / STATE_FILE).exists() else {}
    url = settings.database_url
    return url is not None and known.get("DATABASE_URL") == url.unwrap()


def _with_pepper(settings: Settings, state: Path) -> Settings:
    if settings.key_pepper:
        return settings
    kept = env_file.read(state / STATE_FILE) if (state / STATE_FILE).exists() else {}
    ring = kept.get("KEY_PEPPER") or secrets.token_hex(32)
    return attrs.evolve(settings, key_pepper=tuple(Secret(part) for part in ring.split(",")))


def _remember(state: Path, values: Mapping[str, str]) -> None:
    """Leaves settings of this state directory to other commands, readable by us alone."""
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, value in values.items():
        env_file.rewrite(state / STATE_FILE, name, partial(_instead, value))


def _secrets(settings: Settings) -> Mapping[str, str]:
    return {
        "DATABASE_URL": settings.need_database_url().unwrap(),
        "REDIS_URL": settings.need_redis_url().unwrap(),
        "KEY_PEPPER": ",".join(part.unwrap() for part in settings.key_pepper),
    }


def _instead(value: str, _former: str | None) -> str:
    return value


def _log_to_file(settings: Settings, state: Path, stack: contextlib.ExitStack) -> None:
    """The terminal is for the person; the log goes beside the stores' own."""
    log = stack.enter_context((state / "gateway.log").open("a", buffering=1))
    set_up_logs(settings.log_level, LogFormat.JSON, log)


async def _serve(
    settings: Settings,
    wishes: Wishes,
    listener: socket.socket,
    screen: Screen,
    stores: EmbeddedStores | None,
    state: Path,
) -> None:
    async with _backend(settings, screen) as served:
        _remember(state, {"OLLAMA_BASE_URL": served.ollama_base_url})
        key = await _first_key(served, screen)
        base_url = _base_url(wishes)

        async def when_ready() -> None:
            model = await _show_answer(served, base_url, key, screen)
            _show_lines(base_url, key, model, screen)
            if not wishes.once:
                screen.line(f"\nServing on {base_url}. Ctrl-C stops it. Log: gateway.log in the data directory.")
                await _stores_run(stores)

        await serve_on(served, listener, when_ready)
        screen.step("Stopped; the data is kept for the next start")


async def _stores_run(stores: EmbeddedStores | None) -> None:
    """Waits for ever, and raises when an embedded store has died."""
    while True:
        await asyncio.sleep(_CHECK_S)
        if stores is not None:
            stores.check()


@contextlib.asynccontextmanager
async def _backend(settings: Settings, screen: Screen) -> AsyncIterator[Settings]:
    """Settings with a backend that answers; the simulated one only when none was named and none is found."""
    for address in settings.addresses:
        try:
            async with asyncio.timeout(_PROBE_S):
                survey = await probe(address)
        except (BackendFault, TimeoutError):
            continue
        screen.step(f"Ollama {survey.version} at {address.url} has {len(survey.models)} models")
        yield settings
        return
    if (
        settings.ollama_backends is not None
        or settings.ollama_base_url != attrs.fields(Settings).ollama_base_url.default
    ):
        screen.console.print("[yellow]![/] The named Ollama does not answer yet; requests get 503 until it does.")
        yield settings
        return
    simulator = await start_simulator(World(SimulatorSettings()))
    try:
        screen.console.print(
            f"[yellow]![/] No Ollama at {escape(settings.ollama_base_url)}: a [bold]simulated backend[/] answers "
            "instead. It is not a model."
        )
        screen.detail("Start Ollama and run this again, or set OLLAMA_BASE_URL, for real answers.")
        yield attrs.evolve(settings, ollama_base_url=simulator.url)
    finally:
        await simulator.stop()


async def _first_key(settings: Settings, screen: Screen) -> Secret | None:
    """The key made at the first start; None at later ones, when only its holder still knows it."""
    async with operator_tools(settings) as tools:
        await _add_tenant(tools, TENANT)
        live = [k for k in await tools.tenants.keys(TENANT) if k.name == FIRST_KEY and k.revoked_at is None]
        if live:
            screen.step(f"Tenant '{TENANT}' has the key {live[0].prefix}... from an earlier start")
            screen.detail(f"Lost it? neuronetz-gateway rotate-key --prefix {live[0].prefix}")
            return None
        made = await _keys(tools).create(TENANT, name=FIRST_KEY, expires_at=None, pepper=settings.need_peppers()[0])
        screen.step(f"Tenant '{TENANT}' and its first key are made. The key is shown this once:")
        screen.line(f"\n    {made.text.unwrap()}\n")
        return made.text


async def _add_tenant(tools: OperatorTools, name: str) -> None:
    with contextlib.suppress(Taken):
        await AdministerTenants(register=tools.tenants, announcer=tools.announcer, actor=_ACTOR).create(name)


def _keys(tools: OperatorTools) -> AdministerKeys:
    return AdministerKeys(
        register=tools.tenants,
        announcer=tools.announcer,
        passwords=tools.passwords,
        entropy=tools.entropy,
        clock=tools.clock,
        actor=_ACTOR,
    )


@contextlib.asynccontextmanager
async def _trial_key(settings: Settings, first: Secret | None) -> AsyncIterator[Secret]:
    """The first key while it is known, else one for this answer alone."""
    if first is not None:
        yield first
        return
    async with operator_tools(settings) as tools:
        await _add_tenant(tools, TRIAL_TENANT)
        keys = _keys(tools)
        expires_at = tools.clock.now() + timedelta(seconds=_TRIAL_S)
        name = f"trial-{tools.entropy.base62(8)}"
        made = await keys.create(TRIAL_TENANT, name=name, expires_at=expires_at, pepper=settings.need_peppers()[0])
        try:
            yield made.text
        finally:
            await keys.revoke(made.key.prefix)


def _base_url(wishes: Wishes) -> str:
    host = "127.0.0.1" if wishes.host in ("0.0.0.0", "::") else wishes.host  # noqa: S104  compared, not listened on
    return f"http://[{host}]:{wishes.port}" if ":" in host else f"http://{host}:{wishes.port}"


async def _show_answer(settings: Settings, base_url: str, first_key: Secret | None, screen: Screen) -> str | None:
    """Asks a model through the gateway, as any client would, and shows the answer as it comes. Says which model."""
    async with (
        _trial_key(settings, first_key) as key,
        httpx.AsyncClient(
            base_url=base_url, headers={"Authorization": f"Bearer {key.unwrap()}"}, timeout=_ANSWER_S, trust_env=False
        ) as client,
    ):
        model = _chat_model((await client.get("/api/tags")).raise_for_status().json()["models"])
        if model is None:
            screen.console.print("[yellow]![/] No model to ask yet: pull one with `ollama pull llama3.2`.")
            return None
        screen.step(f"{model} answers through the gateway:")
        body = {"model": model, "messages": [{"role": "user", "content": _QUESTION}], "options": {"num_predict": 64}}
        screen.console.print("\n    ", end="")
        async with client.stream("POST", "/api/chat", json=body) as response:
            if response.is_error:
                await response.aread()
                raise NoAnswer(f"The model did not answer: {response.json().get('error', response.status_code)}")
            async for line in response.aiter_lines():
                screen.console.print(escape(_said(line)), end="", soft_wrap=True)
        screen.line("\n")
        return model


def _said(line: str) -> str:
    record = msgspec.json.decode(line)
    if "error" in record:
        raise NoAnswer(f"The answer broke off: {record['error']}")
    message = record.get("message", {})
    return str(message.get("content", "") or message.get("thinking", ""))


def _chat_model(models: list[dict[str, Any]]) -> str | None:
    """The first model that can chat, loaded or not; models that only embed come last."""

    def chats(model: dict[str, Any]) -> bool:
        capabilities = model.get("capabilities")
        return "completion" in capabilities if capabilities else "bert" not in model["details"].get("family", "")

    return next((str(model["name"]) for model in models if chats(model)), None)


def _show_lines(base_url: str, key: Secret | None, model: str | None, screen: Screen) -> None:
    """Lines to copy."""
    shown, named = "$NEURONETZ_KEY" if key is None else key.unwrap(), model or "MODEL"
    messages = '"messages": [{"role": "user", "content": "Hello"}]'
    screen.line("Try it, in Ollama's own dialect and in OpenAI's:\n")
    for path, extra in (("/api/chat", ""), ("/v1/chat/completions", ', "stream": true')):
        screen.line(f"  curl -N {base_url}{path} \\")
        screen.line(f'    -H "Authorization: Bearer {shown}" \\')
        screen.line(f'    -d \'{{"model": "{named}", {messages}{extra}}}\'\n')
    screen.line(f"For an OpenAI client: base URL {base_url}/v1 and the key. To see what was used:")
    screen.line(f"  neuronetz-gateway usage --tenant {TENANT}")
