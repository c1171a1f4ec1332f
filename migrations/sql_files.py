"""Runs the SQL of a migration. It is kept in files of its own, `sql/<revision>/*.sql`, where it can be read as SQL."""

from __future__ import annotations

from pathlib import Path

from alembic import op

_SQL = Path(__file__).parent / "sql"


def run_folder(revision: str) -> None:
    """Runs all files of one revision in the order of their names, inside the migration's transaction.

    They go to the driver as they are: SQLAlchemy would take a colon for a parameter, and psycopg, given parameters,
    a percent sign.
    """
    connection = op.get_bind().connection.driver_connection
    if connection is None:
        raise RuntimeError("A migration needs a connection: it cannot be written to a script.")
    for file in sorted((_SQL / revision).glob("*.sql")):
        connection.execute(file.read_text(encoding="utf-8"))
