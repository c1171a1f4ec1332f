"""Expand: what operating needs. Nothing that 0001 serves changes its meaning; programs of both releases may run."""

from __future__ import annotations

from migrations.sql_files import run_folder

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_folder("0002")


def downgrade() -> None:
    raise RuntimeError(
        "0002 only adds; the release before it works with what is there. Restore a backup if you must go back."
    )
