"""Where the database is, and how each of our connections introduces itself.

The address holds the password. It is read once, by libpq's own rules, and from then on travels as a value without a
readable form; an address that cannot be read is an error without the address, because libpq quotes what it does not
understand.
"""

from __future__ import annotations

from typing import Any

import attrs
import psycopg
from psycopg.conninfo import conninfo_to_dict

SCHEMA = "neuronetz"


@attrs.frozen
class DatabaseAddress:
    """A database URL or conninfo string, checked for form."""

    _parameters: dict[str, Any] = attrs.field(repr=False)

    @classmethod
    def read(cls, url: str) -> DatabaseAddress:
        """Reads `postgresql://user:password@host/database` or any form libpq knows.

        Raises:
            ValueError: it has no such form.
        """
        plain = url.replace("postgresql+psycopg://", "postgresql://", 1)
        try:
            parameters = conninfo_to_dict(plain)
        except psycopg.Error:
            parameters = None
        if not parameters:
            raise ValueError("The database URL cannot be read: write it as postgresql://user:password@host/database.")
        return cls(parameters)

    def parameters(
        self, *, name: str, connect_timeout_s: int = 2, settings: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """What `psycopg.connect` needs.

        Args:
            name: shown in `pg_stat_activity`.
            connect_timeout_s: at least 2, libpq's own floor.
            settings: server settings of this connection beside those that all have.
        """
        shared = {"search_path": f"{SCHEMA},pg_catalog", "timezone": "UTC", "jit": "off"}
        chosen = shared | (settings or {})
        words = [str(self._parameters.get("options") or "")]
        words += [f"-c {key}={value.replace(' ', chr(92) + ' ')}" for key, value in chosen.items()]
        alive = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 10_000}
        return (
            alive
            | self._parameters
            | {
                "application_name": name,
                "connect_timeout": connect_timeout_s,
                "options": " ".join(word for word in words if word),
            }
        )
