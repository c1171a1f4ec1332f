"""What a bench or a soak plays on: real stores, a simulated backend, an operator, all in one folder that goes again."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import attrs

from domain.limits import Limits
from domain.policies import Policy
from domain.ports.registers import Taken
from entrypoints.embedded import EmbeddedStores, start_stores
from entrypoints.operator_tools import operator_tools
from entrypoints.settings import Settings
from tests.e2e.house import House, Key
from tests.e2e.programs import PEPPER, free_port

_ACTOR = "test"
ROOM = {
    "BACKEND_MAX_IN_FLIGHT": "4096",
    "QUEUE_DEPTH": "4096",
    "LOG_LEVEL": "info",
    # A shared machine that stalls for a moment must not end a measurement.
    "LIMITER_TIMEOUT_MS": "2000",
    "LEDGER_TIMEOUT_S": "3",
}
NEVER_BINDING = Policy(limits=Limits(rpm=10**6, tpm=10**9, concurrency=10**4))
"""Limits that are set but never bind: their work is done for every call."""


@attrs.frozen
class Stage:
    """Stores and a house on them."""

    stores: EmbeddedStores
    house: House


@contextlib.contextmanager
def open_stage(*simulator_options: str, stores: EmbeddedStores | None = None, **settings: str) -> Iterator[Stage]:
    """Opens everything but the gateways; on stores of its own if none are given."""
    with tempfile.TemporaryDirectory(prefix="nzbench", dir="/var/tmp", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)  # the servers' own account must be able to pass, when we are root
        own = start_stores(folder / "state", durable=True) if stores is None else contextlib.nullcontext(stores)
        with own as used, House.open(used, folder, *simulator_options, **ROOM | settings) as house:
            yield Stage(used, house)


@contextlib.contextmanager
def hasty_stores() -> Iterator[EmbeddedStores]:
    """Stores that do not wait for the disk."""
    with tempfile.TemporaryDirectory(prefix="nzbench", dir="/var/tmp", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)  # as above
        with start_stores(Path(name) / "state", durable=False) as stores:
            yield stores


def make_keys(house: House, wanted: Sequence[tuple[str, Policy | None]]) -> Sequence[Key]:
    """A key for each name of a tenant, which is made if it is not there; with a policy for the tenant or none."""
    return asyncio.run(_make_keys(house, wanted))


async def _make_keys(house: House, wanted: Sequence[tuple[str, Policy | None]]) -> Sequence[Key]:
    made = []
    async with operator_tools(house.settings) as tools:
        known = set()
        for number, (tenant, policy) in enumerate(wanted):
            if tenant not in known:
                with contextlib.suppress(Taken):
                    await tools.tenants.add_tenant(tenant, actor=_ACTOR)
                known.add(tenant)
            if policy is not None:
                await tools.administer_tenants(_ACTOR).change_policy(tenant, _always(policy))
            new = await tools.administer_keys(_ACTOR).create(
                tenant, name=f"key-{number}", expires_at=None, pepper=PEPPER.encode()
            )
            made.append(Key(new.text.unwrap(), new.key.prefix, new.key.id, tenant, new.key.tenant_id))
    return made


def _always(policy: Policy) -> Callable[[Policy], Policy]:
    return lambda _former: policy


def tenants(count: int) -> Sequence[tuple[str, Policy | None]]:
    """So many, with limits that never bind."""
    return [(f"bench-{number}", NEVER_BINDING) for number in range(count)]


def knows_setting(name: str) -> bool:
    """Whether the gateway has this setting."""
    return name.lower() in {field.name for field in attrs.fields(Settings)}


def metrics_address() -> tuple[str, dict[str, str]]:
    """Where a gateway will show its metrics, and the setting that makes it so; empty when it has none."""
    if not knows_setting("METRICS_BIND"):
        return "", {}
    bind = f"127.0.0.1:{free_port()}"
    return f"http://{bind}/metrics", {"METRICS_BIND": bind}
