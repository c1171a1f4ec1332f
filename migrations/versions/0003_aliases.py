"""Expand: names of a tenant's own for models. Nothing that 0002 serves changes its meaning; programs of both releases
may run, and those of 0002 do not know aliases: a caller who uses one is told there that there is no such model.
"""

from __future__ import annotations

from migrations.sql_files import run_folder

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_folder("0003")


def downgrade() -> None:
    run_folder("0003/down")
