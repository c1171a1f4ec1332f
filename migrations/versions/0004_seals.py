"""Expand: seals over the audit. Nothing that 0003 serves changes its meaning; programs of both releases may run. One of
0003 seals nothing: what it wrote while it served alone is sealed by the next of this release.
"""

from __future__ import annotations

from migrations.sql_files import run_folder

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_folder("0004")


def downgrade() -> None:
    run_folder("0004/down")
