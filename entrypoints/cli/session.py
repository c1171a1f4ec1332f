"""One invocation of the command line: its settings, and the tools that a command runs with."""

from __future__ import annotations

import asyncio
import os
import pwd
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import attrs

from adapters.ollama.address import BackendAddress
from application.administer_keys import AdministerKeys
from application.administer_tenants import AdministerTenants, similar_names
from domain.ports.model_backend import Survey
from domain.ports.registers import Unknown
from entrypoints.cli import wiring
from entrypoints.cli.printing import note
from entrypoints.embedded.errors import EmbeddedError
from entrypoints.embedded.state_dir import default_state_dir
from entrypoints.observability.listener import OFF
from entrypoints.operator_tools import OperatorTools, operator_tools
from entrypoints.settings import Settings
from entrypoints.settings_reading import merged
from entrypoints.state_file import state_file

T = TypeVar("T")


class UnknownTenant(Unknown):
    """No tenant of that name; carries what may have been meant."""

    def __init__(self, name: str, similar: Sequence[str]) -> None:
        super().__init__(name)
        self.name = name
        self.similar = similar


@attrs.define(slots=False)  # slots leave no room for a cached property
class Session:
    """What commands are given. Tests put their own tools in."""

    environ: Mapping[str, str] = attrs.field(factory=lambda: os.environ, repr=False)
    open_tools: Callable[[Settings], AbstractAsyncContextManager[OperatorTools]] = operator_tools
    probe: Callable[[BackendAddress], Awaitable[Survey]] = wiring.probe
    database_trouble: Callable[[Settings], str | None] = wiring.database_trouble
    inspections: wiring.Inspections = attrs.field(factory=wiring.Inspections)
    env_file: Path | None = None

    @cached_property
    def settings(self) -> Settings:
        """Environment, `.env` file, and where neither names a database, what a quickstart left."""
        return self.read_again()

    def read_again(self) -> Settings:
        """The settings as the environment and the file have them now."""
        return Settings.from_environment(self.environ, self.env_file_in_use, self.quickstart_file)

    @property
    def program(self) -> Sequence[str]:
        """The command line that starts another of ourselves with the same settings; a command is put after it.

        With -P, because a folder that happens to be the current one is no place to import from.
        """
        given = [] if self.env_file is None else ["--env-file", str(self.env_file.resolve())]
        return [sys.executable, "-P", "-m", "neuronetz_gateway", *given]

    def settings_of_quickstart(self, state_dir: Path) -> Settings:
        """For a quickstart itself: what is given explicitly. What it left in its own file does not count as that.

        Metrics have a listener only when they are asked for: who tries this out should not meet a port that is taken.
        """
        file = self.env_file_in_use
        own = file is not None and file.resolve() == state_file(state_dir).resolve()
        given = None if own else file
        settings = Settings.from_environment(self.environ, given)
        return settings if "METRICS_BIND" in merged(self.environ, given) else attrs.evolve(settings, metrics_bind=OFF)

    @property
    def env_file_in_use(self) -> Path | None:
        """The file named by `--env-file`, or `.env` here if there is one."""
        found = Path(".env")
        return self.env_file or (found if found.is_file() else None)

    @cached_property
    def quickstart_file(self) -> Path | None:
        """The settings of the quickstart on this machine; None when the operator names a database himself."""
        if "DATABASE_URL" in merged(self.environ, self.env_file_in_use):
            return None
        try:
            file = state_file(self.default_state_dir)
            if not file.is_file():
                return None
        except (EmbeddedError, OSError):
            return None
        note(f"Using the stores of the quickstart on this machine ({file}).")
        return file

    @property
    def default_state_dir(self) -> Path:
        """Where a quickstart keeps its state when nobody says otherwise."""
        return default_state_dir(self.environ, as_root=os.geteuid() == 0)

    @property
    def actor(self) -> str:
        """Who acts, for the audit: the user of the operating system, seen through sudo."""
        uid = os.getuid()
        behind_sudo = self.environ.get("SUDO_USER") if uid == 0 else None
        try:
            return f"cli:{behind_sudo or pwd.getpwuid(uid).pw_name}"
        except KeyError:
            return f"cli:uid{uid}"

    def tenants(self, tools: OperatorTools) -> AdministerTenants:
        """The use cases for tenants."""
        return tools.administer_tenants(self.actor)

    def keys(self, tools: OperatorTools) -> AdministerKeys:
        """The use cases for keys."""
        return tools.administer_keys(self.actor)

    def run(self, use: Callable[[OperatorTools], Awaitable[T]], *, tenant: str | None = None) -> T:
        """Opens the tools, uses them, closes them.

        Args:
            use: what to do.
            tenant: the name that the operator gave; looked up when something turns out to be unknown.

        Raises:
            UnknownTenant: there is no such tenant.
        """

        async def opened() -> T:
            async with self.open_tools(self.settings) as tools:
                try:
                    return await use(tools)
                except Unknown as error:
                    similar = await similar_names(tools.tenants, tenant) if tenant is not None else None
                    if tenant is None or similar is None:
                        raise
                    raise UnknownTenant(tenant, similar) from error

        return asyncio.run(opened())
