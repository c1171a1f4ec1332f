"""What the commands ask of the outside besides the stores; loaded on first use, so that `--help` loads nothing."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from adapters.ollama.address import BackendAddress
from domain.ports.inspection import DatabaseInspection, LimiterInspection
from domain.ports.model_backend import Survey
from entrypoints.settings import Settings


async def probe(address: BackendAddress) -> Survey:
    """Asks a backend for its version and models, with the very headers that calls will carry.

    Raises:
        BackendFault: it does not answer properly.
    """
    from adapters.ollama import model_backend  # noqa: PLC0415  the client is not loaded for other commands

    return await model_backend.probe(address)


def database_trouble(settings: Settings) -> str | None:
    """Why the database does not serve, as far as asking it once more can tell; for an error's second half."""
    from adapters.postgres import migrating  # noqa: PLC0415  Alembic is not loaded for the sake of other commands

    try:
        revision = migrating.current(settings.need_database_url().unwrap())
    except migrating.CannotMigrate as error:
        lines = str(error.__cause__ or "").strip().splitlines()
        return f"{lines[0].rstrip('.')}." if lines else None
    return "It is not migrated: run `neuronetz-gateway migrate`." if revision is None else None


def load_database() -> None:
    """Loads what asking the database takes, so that it does not count as the database's own time."""
    from adapters.postgres import audit_reader, registers, usage_reader  # noqa: F401, PLC0415  as above
    from adapters.system import entropy, passwords  # noqa: F401, PLC0415  as above


def inspect_database(settings: Settings) -> DatabaseInspection:
    """A look at the database; connects when it is taken."""
    from adapters.postgres.address import DatabaseAddress  # noqa: PLC0415  as above
    from adapters.postgres.inspection import PostgresInspection  # noqa: PLC0415  as above

    return PostgresInspection(DatabaseAddress.read(settings.need_database_url().unwrap()))


def inspect_limiter(settings: Settings) -> LimiterInspection:
    """A look at the limit store; connects when it is taken."""
    from adapters.redis.inspection import RedisInspection  # noqa: PLC0415  as above
    from adapters.redis.scripts import read_scripts  # noqa: PLC0415  as above

    return RedisInspection(settings.need_redis_url().unwrap(), read_scripts())


@attrs.frozen(kw_only=True)
class Inspections:
    """How the stores are looked at."""

    database: Callable[[Settings], DatabaseInspection] = inspect_database
    limiter: Callable[[Settings], LimiterInspection] = inspect_limiter
