"""Where alembic enters. Only through `adapters.postgres.migrating`, which connects and takes the lock."""

from __future__ import annotations

from alembic import context

connection = context.config.attributes.get("connection")
if connection is None:
    raise RuntimeError("Run `neuronetz-gateway migrate`, which sees to it that only one migrates at a time.")

context.configure(connection=connection, version_table_schema="neuronetz")
with context.begin_transaction():
    context.run_migrations()
