"""What the commands ask of the outside besides the stores; loaded on first use, so that `--help` loads nothing."""

from __future__ import annotations

from adapters.ollama.address import BackendAddress
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
