"""Looks at the real tables all the while: in no committed state is a window above its limit, or held wrongly."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import attrs
import psycopg

_EVERY_S = 0.15
_MOST_KEPT = 20
_OVER = """
    select w.tenant_id, w.scope_id, w.kind, w.used, w.held, l.most
    from neuronetz.budget_windows w
    join (
        select t.id as scope_id, d.kind, d.most from neuronetz.tenants t
        cross join lateral (values (0, daily_tokens), (1, monthly_tokens), (2, total_tokens)) d (kind, most)
        union all
        select k.budget_id, d.kind, min(d.most) from neuronetz.api_keys k
        cross join lateral (values (0, daily_tokens), (1, monthly_tokens), (2, total_tokens)) d (kind, most)
        group by 1, 2
    ) l on l.scope_id = w.scope_id and l.kind = w.kind
    where w.used < 0 or w.held < 0 or w.used + w.held > l.most
"""
_HELD_WRONGLY = """
    select w.tenant_id, w.scope_id, w.kind, w.used, w.held, coalesce(h.tokens, 0) as open
    from neuronetz.budget_windows w
    left join (
        select o.tenant_id, x.scope_id, x.kind, x.starts_at, sum(o.tokens)::bigint as tokens
        from neuronetz.holds o
        cross join lateral neuronetz.windows_of(o.tenant_id, o.budget_id, o.day_start, o.month_start) x
        where o.state = 'open'
        group by 1, 2, 3, 4
    ) h using (tenant_id, scope_id, kind, starts_at)
    where w.held <> coalesce(h.tokens, 0)
"""


@attrs.define
class Poller:
    """In a thread of its own, on a connection of its own, which it opens again whenever it is lost."""

    database_url: str = attrs.field(repr=False)
    looks: int = 0
    wrongs: list[str] = attrs.field(factory=list)
    _over: threading.Event = attrs.field(factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begins."""
        self._thread = threading.Thread(target=self._run, name="poller")
        self._thread.start()

    def stop(self) -> Sequence[str]:
        """Ends; a sentence for each state that must not be, the first twenty."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        return self.wrongs[:_MOST_KEPT]

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                with psycopg.connect(self.database_url, autocommit=True, connect_timeout=2) as connection:
                    while not self._over.wait(_EVERY_S):
                        self._look(connection)
            except psycopg.Error:
                self._over.wait(_EVERY_S)

    def _look(self, connection: psycopg.Connection) -> None:
        for row in connection.execute(_OVER).fetchall():
            self.wrongs.append(f"Above its limit: tenant {row[0]} scope {row[1]} kind {row[2]}: {row[3:]}.")
        for row in connection.execute(_HELD_WRONGLY).fetchall():
            self.wrongs.append(f"Held is not the sum of open holds: {row[0]} {row[1]} kind {row[2]}: {row[3:]}.")
        self.looks += 1
