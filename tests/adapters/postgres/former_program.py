"""A program of the release that made revision 0001, as far as the database sees it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

import psycopg
from psycopg.rows import dict_row

from tests.adapters.postgres import released_0001 as former


class FormerProgram:
    """One gateway, and the command line beside it."""

    def __init__(self, connection: psycopg.Connection[dict[str, Any]]) -> None:
        self.process_id = str(uuid4())
        self._connection = connection

    def ask(self, statement: str, **values: object) -> list[dict[str, Any]]:
        cursor = self._connection.execute(statement.encode(), values)
        return cursor.fetchall() if cursor.description else []

    def batch(
        self, *, holds: list[Mapping[str, Any]] | None = None, settles: list[Mapping[str, Any]] | None = None
    ) -> Any:
        words = {"process": self.process_id, "settles": settles or [], "holds": holds or []}
        [row] = self.ask(former.LEDGER, batch=json.dumps(words))
        return json.loads(row["ledger"])

    def hold(self, key: Mapping[str, Any], request_id: str) -> dict[str, Any]:
        epoch = self.ask("select limits_epoch from neuronetz.tenants where id = %(id)s", id=key["tenant_id"])
        return {
            "request_id": request_id,
            "tenant_id": str(key["tenant_id"]),
            "key_id": str(key["id"]),
            "key_prefix": key["prefix"],
            "epoch": epoch[0]["limits_epoch"],
            "prompt_tokens": 10,
            "output_tokens": 90,
            "output_factor": 1,
            "route": "/api/chat",
            "model": "llama3.2:latest",
            "address": "192.0.2.7",
        }

    def end(self, hold: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "request_id": hold["request_id"],
            "tenant_id": hold["tenant_id"],
            "outcome": "done",
            "prompt_tokens": 7,
            "output_tokens": 5,
            "overshoot_tokens": 0,
            "backend": "gpu-1",
            "status": 200,
            "code": None,
            "bytes_out": 100,
            "queued_ms": 1,
            "first_byte_ms": 2,
            "duration_ms": 3,
        }

    def call(self, key: Mapping[str, Any]) -> str:
        """A hold and its settlement; the verdict of the former."""
        hold = self.hold(key, uuid4().hex)
        [verdict] = self.batch(holds=[hold])
        self.batch(settles=[self.end(hold)])
        return str(verdict["verdict"])

    def administer(self) -> dict[str, Any]:
        """Makes a tenant and a key, changes both, and finds the key as serving does."""
        with self._connection.transaction():
            self.ask(former.ADD_TENANT, name="made-by-former")
            [tenant] = self.ask(f"{former.TENANTS} where t.name = 'made-by-former' for update of t")
            detail = json.dumps({"change": "add_tenant", "before": None, "after": {"name": "made-by-former"}})
            row = {"key_id": None, "key_prefix": None, "actor": "cli:former", "detail": detail}
            self.ask(former.RECORD, tenant_id=tenant["id"], **row)
        policy = dict.fromkeys(("tpm", "concurrency", "monthly_tokens", "total_tokens", "models"))
        self.ask(former.SET_TENANT_POLICY, name="made-by-former", rpm=10, daily_tokens=10_000, **policy)
        self.ask(former.SET_STATE, name="made-by-former", state="suspended")
        self.ask(former.SET_STATE, name="made-by-former", state="active")
        made = {"name": "k", "prefix": "nz_former00", "secret_hash": "hash", "expires_at": None}
        self.ask(former.ADD_KEY, tenant_id=tenant["id"], **made)
        self.ask(former.SET_KEY_POLICY, prefix="nz_former00", rpm=5, daily_tokens=None, **policy)
        self.ask(former.REVOKE, prefix="nz_former00")
        self.ask(former.COPY_KEY, new_prefix="nz_former01", secret_hash="other", prefix="nz_former00")
        self.ask(former.REHASH, secret_hash="better", key_id=self._key("nz_former01")["id"])
        return self._key("nz_former01")

    def look(self, key: Mapping[str, Any]) -> None:
        """Everything else that it asks."""
        tenant = {"tenant_id": key["tenant_id"]}
        self.ask(f"{former.KEYS} where k.tenant_id = %(tenant_id)s order by k.created_at, k.prefix", **tenant)
        self.ask(former.WINDOWS, scope_id=key["budget_id"], **tenant)
        self.ask(former.KEY_USE, since="2020-01-01", **tenant)
        self.ask(former.CHANGED, since="2020-01-01")
        note = {"request_id": uuid4().hex, "event": "refused", "code": "rate_limited", "count": 1}
        self.ask(former.WRITE_NOTES, notes=json.dumps([note]), again=True)
        self.ask(former.FACTS, **tenant)
        self.ask(former.REAP, stale_after=timedelta(minutes=1))
        self.ask(former.FORGET, stale_after=timedelta(minutes=1))
        self.ask(former.PARTITIONS)

    def _key(self, prefix: str) -> dict[str, Any]:
        [key] = self.ask(former.KNOWN_KEY, prefix=prefix)
        return key


@contextmanager
def former_program(url: str) -> Iterator[FormerProgram]:
    with psycopg.connect(url, row_factory=dict_row, autocommit=True) as connection:
        program = FormerProgram(connection)
        connection.execute(former.BEAT.encode(), (program.process_id, "former"))
        yield program
