"""Real PostgreSQL and Valkey without installing either: `start_stores()` and what it gives and raises."""

from __future__ import annotations

from entrypoints.embedded.errors import EmbeddedError
from entrypoints.embedded.supervisor import EmbeddedStores, start_stores

__all__ = ["EmbeddedError", "EmbeddedStores", "start_stores"]
