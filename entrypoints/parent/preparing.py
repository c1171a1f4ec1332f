"""What comes before the children, and before each rolling restart: the settings are whole and the database is migrated.

A program of its own, so that the parent neither holds what it loads nor runs migrations of the version it was itself
started with.
"""

from __future__ import annotations

import structlog

from adapters.postgres.migrating import upgrade
from entrypoints.observing import set_up_logs
from entrypoints.settings import Settings

_log = structlog.get_logger("neuronetz")


def prepare(settings: Settings) -> None:
    """Looks whether all that serving needs is set, and migrates.

    Raises:
        SettingsError: something is not set.
        CannotMigrate: the database is not reached, or will not be migrated.
    """
    settings.need("DATABASE_URL", "REDIS_URL", "KEY_PEPPER", "OLLAMA_BACKENDS")
    set_up_logs(settings.log_level, settings.log_format)
    applied = upgrade(settings.need_database_url().unwrap())
    if applied:
        _log.info("migrated", revisions=list(applied))
