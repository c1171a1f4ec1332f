"""`neuronetz-gateway quickstart`: from nothing to a streamed answer, with real stores, step by step.

    PostgreSQL and Valkey from wheels -> migrate -> tenant and key -> Ollama, or the simulated backend -> serve
    -> one real streamed answer -> copy-paste lines -> go on serving

What is given explicitly wins: `DATABASE_URL` and `REDIS_URL` together replace the embedded stores, `OLLAMA_BASE_URL`
or `OLLAMA_BACKENDS` the search for a backend. Everything else is kept in the state directory, so that the next start
goes on where this one ended, and other commands find the same stores (`gateway.env` there). URLs of
the operator's own stores are not kept: they are his to give each time, and they may hold a password.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import attrs
import uvloop
from rich.markup import escape

from adapters.ollama.model_backend import probe
from adapters.postgres.migrating import upgrade
from application.counting import counted
from domain.faults import BackendFault
from domain.keys import Secret
from domain.ports.registers import Taken
from entrypoints.embedded.account import Account
from entrypoints.embedded.state_dir import exclusively, open_state_dir
from entrypoints.embedded.supervisor import EmbeddedStores, start_stores
from entrypoints.launch import serve_on
from entrypoints.listening import listen
from entrypoints.observing import set_up_logs
from entrypoints.operator_tools import OperatorTools, operator_tools
from entrypoints.quickstart_screen import Screen, show_answer, show_lines
from entrypoints.settings import Settings, SettingsError
from entrypoints.settings_words import LogFormat
from entrypoints.simulator.serving import start as start_simulator
from entrypoints.simulator.world import Settings as SimulatorSettings
from entrypoints.simulator.world import World
from entrypoints.state_file import keep_in, kept_in

TENANT = "quickstart"
TRIAL_TENANT = "quickstart-trial"
"""Asks for the answer that later starts show, so that the user's own tenant holds nothing but the user's keys."""
FIRST_KEY = "first"
_ACTOR = "quickstart"
_TRIAL_S = 600
_PROBE_S = 3.0
_CHECK_S = 1.0


@attrs.frozen(kw_only=True)
class Wishes:
    """What was asked for on the command line."""

    state_dir: Path
    env_file: Path | None = None
    """What other commands must be told to find the stores; None where they look by themselves."""
    once: bool = False
    run_as: str | None = None
    host: str = "127.0.0.1"
    port: int = 8080


def quickstart(settings: Settings, wishes: Wishes) -> None:
    """Does all of it, and serves until a signal says to stop; with `once`, until the answer has been shown.

    Args:
        settings: what is given explicitly; nothing of what an earlier quickstart kept.
        wishes: the command line's.

    Raises:
        SettingsError: one store is given and the other is not.
        EmbeddedError: the stores cannot run here.
        PortTaken: the port cannot be listened on.
    """
    _require_both_or_neither(settings)
    screen = Screen()
    listener = listen(wishes.host, wishes.port)  # first, because it fails fastest
    with contextlib.ExitStack() as stack:
        stores = _stores(settings, wishes, screen, stack)
        settings = _with_secrets(_with_stores(settings, stores), wishes.state_dir)
        keep_in(wishes.state_dir, _kept(settings, stores))
        _log_to_file(settings, wishes.state_dir, stack)
        applied = upgrade(settings.need_database_url().unwrap())
        screen.step("Database is migrated" if applied else "Database is up to date")
        uvloop.run(_serve(settings, wishes, listener, screen, stores))


def _require_both_or_neither(settings: Settings) -> None:
    given = {"DATABASE_URL": settings.database_url, "REDIS_URL": settings.redis_url}
    missing = [name for name, url in given.items() if url is None]
    if len(missing) == 1:
        sentence = (
            f"{missing[0]} is not set, and the other store's URL is: set both to use stores of your own, "
            "or neither to have them brought along."
        )
        raise SettingsError([sentence])


def _stores(settings: Settings, wishes: Wishes, screen: Screen, stack: contextlib.ExitStack) -> EmbeddedStores | None:
    """The embedded stores, running; None when the operator has his own. The state directory is ours alone after it."""
    if settings.database_url is not None:
        place = open_state_dir(wishes.state_dir, Account(name="the gateway itself"))
        stack.enter_context(exclusively(place, screen.detail))
        screen.step("Using the PostgreSQL and the Redis that DATABASE_URL and REDIS_URL name")
        return None
    stores = stack.enter_context(start_stores(wishes.state_dir, run_as=wishes.run_as, on_step=screen.detail))
    screen.step(f"PostgreSQL and Valkey are running (data in {wishes.state_dir})")
    return stores


def _with_stores(settings: Settings, stores: EmbeddedStores | None) -> Settings:
    if stores is None:
        return settings
    return attrs.evolve(settings, database_url=Secret(stores.database_url), redis_url=Secret(stores.redis_url))


def _with_secrets(settings: Settings, state: Path) -> Settings:
    """Rings with what was given first; what was kept stays in them, so that what was made under it stays good."""
    kept = kept_in(state)
    return attrs.evolve(
        settings,
        key_pepper=_ring(settings.key_pepper, kept.get("KEY_PEPPER", "")),
        audit_seal_key=_ring(settings.audit_seal_key, kept.get("AUDIT_SEAL_KEY", "")),
    )


def _ring(given: Sequence[Secret], kept: str) -> tuple[Secret, ...]:
    ring = [*(secret.unwrap() for secret in given), *filter(None, kept.split(","))] or [secrets.token_hex(32)]
    return tuple(map(Secret, dict.fromkeys(ring)))


def _kept(settings: Settings, stores: EmbeddedStores | None) -> Mapping[str, str]:
    """What the next start and other commands need and nobody else knows."""
    rings = {"KEY_PEPPER": settings.key_pepper, "AUDIT_SEAL_KEY": settings.audit_seal_key}
    kept = {name: ",".join(secret.unwrap() for secret in ring) for name, ring in rings.items()}
    return kept if stores is None else kept | {"DATABASE_URL": stores.database_url, "REDIS_URL": stores.redis_url}


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
) -> None:
    async with _backend(settings, screen) as served:
        keep_in(wishes.state_dir, {"OLLAMA_BASE_URL": served.ollama_base_url})
        key = await _first_key(served, screen)
        base_url = _base_url(wishes)

        async def when_ready() -> None:
            async with _trial_key(served, key) as trial:
                model = await show_answer(base_url, trial, screen)
            named = [] if wishes.env_file is None or stores is None else ["--env-file", str(wishes.env_file)]
            show_lines(base_url, key, model, ["neuronetz-gateway", *named, "usage", "--tenant", TENANT], screen)
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
        screen.step(f"Ollama {survey.version} at {address.url} has {counted(len(survey.models), 'model')}")
        yield settings
        return
    if (
        settings.ollama_backends is not None
        or settings.ollama_base_url != attrs.fields(Settings).ollama_base_url.default
    ):
        screen.warn("The named Ollama does not answer yet; requests get 503 until it does.")
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
        pepper = settings.need_peppers()[0]
        made = await tools.administer_keys(_ACTOR).create(TENANT, name=FIRST_KEY, expires_at=None, pepper=pepper)
        screen.step(f"Tenant '{TENANT}' and its first key are made. The key is shown this once:")
        screen.line(f"\n    {made.text.unwrap()}\n")
        return made.text


async def _add_tenant(tools: OperatorTools, name: str) -> None:
    with contextlib.suppress(Taken):
        await tools.administer_tenants(_ACTOR).create(name)


@contextlib.asynccontextmanager
async def _trial_key(settings: Settings, first: Secret | None) -> AsyncIterator[Secret]:
    """The first key while it is known, else one for this answer alone."""
    if first is not None:
        yield first
        return
    async with operator_tools(settings) as tools:
        await _add_tenant(tools, TRIAL_TENANT)
        keys = tools.administer_keys(_ACTOR)
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
