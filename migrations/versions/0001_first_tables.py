"""Expand: tenants, keys, budget windows, holds, audit, and the functions that alone may move tokens."""

from __future__ import annotations

from migrations.sql_files import run_folder

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_folder("0001")


def downgrade() -> None:
    raise RuntimeError(
        "There is nothing before 0001 but an empty database, and going there would destroy the audit. "
        "Drop the schema `neuronetz` by hand if that is what you want."
    )
