"""What to think of PostgreSQL, given the facts."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from application.counting import counted
from application.findings import Finding, latency, ok, problem, warning
from domain.ports.inspection import BookFacts, ClockReading, DatabaseFacts

LEAST_VERSION = 15
MOST_SKEW_S = 2.0
CONNECTIONS_A_GATEWAY = 8
"""The ledger's lane, the pool's four, the watch's two, and one to spare."""
_LEAST_FREE_CONNECTIONS = 10
_DURABLE = ("on", "local", "remote_write", "remote_apply")
_MANY_TIMEOUTS = 2
_LONG_UNSEALED_S = 120.0


@attrs.frozen(kw_only=True)
class Patience:
    """How patient gateways are, by their settings."""

    ledger_timeout_s: float
    call_timeout_s: float
    process_dead_after_s: float


def examine_database(facts: DatabaseFacts, patience: Patience) -> Sequence[Finding]:
    """All points about it."""
    findings = [
        _version(facts),
        _writable(facts),
        _revision(facts),
        _durability(facts),
        clock("postgres.clock", "PostgreSQL", facts.clock),
        _connections(facts),
    ]
    if facts.commits_ms:
        bound_ms = patience.ledger_timeout_s * 1000
        findings.append(latency("postgres.commits", "commits", facts.commits_ms, bound_ms, "LEDGER_TIMEOUT_S"))
    return findings if facts.books is None else [*findings, *_examine_books(facts.books, patience)]


def clock(subject: str, whose: str, reading: ClockReading) -> Finding:
    """Whether this host and a store agree on the time. Budgets go by PostgreSQL's, rates by Redis's."""
    if abs(reading.ahead_s) <= MOST_SKEW_S:
        return ok(subject, f"Its clock and this host's agree ({abs(reading.ahead_s):.2f} s apart).")
    side = "ahead of" if reading.ahead_s > 0 else "behind"
    return warning(
        subject,
        f"This host's clock is {abs(reading.ahead_s):.1f} s {side} {whose}'s.",
        "Let both hosts keep time by NTP: keys' expiry and logs go by the one, limits and budgets by the other.",
    )


def _version(facts: DatabaseFacts) -> Finding:
    if facts.version_number >= LEAST_VERSION * 10_000:
        return ok("postgres.version", f"PostgreSQL {facts.version} answers.")
    return problem(
        "postgres.version",
        f"PostgreSQL {facts.version} is too old.",
        f"Upgrade it to version {LEAST_VERSION} or later.",
    )


def _writable(facts: DatabaseFacts) -> Finding:
    if facts.writable:
        return ok("postgres.writable", "It can be written.")
    return problem(
        "postgres.writable",
        "It is read-only, so every call is refused.",
        "Let DATABASE_URL name the primary, and see that default_transaction_read_only is off.",
    )


def _revision(facts: DatabaseFacts) -> Finding:
    if facts.revision == facts.newest_revision:
        return ok("postgres.revision", f"The schema is at revision {facts.revision}, the newest.")
    if facts.revision is None:
        return problem("postgres.revision", "The database is empty.", "Run `neuronetz-gateway migrate`.")
    if facts.revision > facts.newest_revision:
        return problem(
            "postgres.revision",
            f"The schema is at revision {facts.revision}, and this program knows {facts.newest_revision} only.",
            "Use the newer release of this program that migrated it.",
        )
    return problem(
        "postgres.revision",
        f"The schema is at revision {facts.revision}, and {facts.newest_revision} is the newest.",
        "Run `neuronetz-gateway migrate`.",
    )


def _durability(facts: DatabaseFacts) -> Finding:
    sentence = f"fsync is {'on' if facts.fsync else 'off'}, synchronous_commit is {facts.synchronous_commit}."
    if facts.fsync and facts.synchronous_commit in _DURABLE:
        return ok("postgres.durability", sentence)
    return warning(
        "postgres.durability",
        f"{sentence} A loss of power may undo holds whose calls were served.",
        "Set both to on in postgresql.conf; for a trial they may stay.",
    )


def _connections(facts: DatabaseFacts) -> Finding:
    gateways = len(facts.books.gateways) if facts.books else 0
    sentence = f"{facts.connections} of {facts.most_connections} connections are in use."
    free = facts.most_connections - facts.connections
    wanted = gateways * CONNECTIONS_A_GATEWAY
    if wanted <= facts.most_connections and free >= _LEAST_FREE_CONNECTIONS:
        return ok("postgres.connections", sentence)
    return warning(
        "postgres.connections",
        f"{sentence} {counted(gateways, 'gateway process takes', 'gateway processes take')} up to {wanted}.",
        f"Raise max_connections, to {CONNECTIONS_A_GATEWAY} a gateway process and what others need.",
    )


def _examine_books(books: BookFacts, patience: Patience) -> Sequence[Finding]:
    return [
        _partitions(books),
        _sealed(books),
        _gateways(books, patience),
        _holds(books, patience),
        _reaped(books),
        *_wedged(books),
    ]


def _partitions(books: BookFacts) -> Finding:
    if books.partitions_ahead < 0:
        return problem(
            "audit.partitions",
            "The audit has no room for this month, so every call is refused.",
            "Run `select neuronetz.make_audit_partitions()` there; a running gateway does so by itself.",
        )
    if books.partitions_ahead == 0:
        return warning(
            "audit.partitions",
            "The audit has no room beyond this month.",
            "Start a gateway, which makes it, or run `select neuronetz.make_audit_partitions()` there.",
        )
    return ok("audit.partitions", f"The audit has room for {counted(books.partitions_ahead, 'month')} after this one.")


def _sealed(books: BookFacts) -> Finding:
    age_s = books.unsealed_s
    if age_s is None or age_s <= _LONG_UNSEALED_S:
        return ok("audit.sealed", "No row of the audit waits long for its seal.")
    return warning(
        "audit.sealed",
        f"A row of the audit has waited {age_s:,.0f} s for its seal, and can be changed meanwhile.",
        "Give a gateway AUDIT_SEAL_KEY, and end old transactions: see the oldest backend_xid in pg_stat_activity, and "
        "pg_prepared_xacts, also of other databases of that server.",
    )


def _gateways(books: BookFacts, patience: Patience) -> Finding:
    alive = [sign for sign in books.gateways if sign.silent_s <= patience.process_dead_after_s]
    silent = len(books.gateways) - len(alive)
    hosts = ", ".join(sorted({sign.host for sign in alive}))
    if not alive:
        return warning("gateways.alive", "No gateway runs.", "Start one: neuronetz-gateway serve")
    sentence = f"{counted(len(alive), 'gateway process is', 'gateway processes are')} alive, on {hosts}."
    if silent:
        return warning(
            "gateways.alive",
            f"{sentence} {silent} gave no sign of life for {patience.process_dead_after_s:g} s.",
            "See why they ended; their open calls are being charged in full.",
        )
    return ok("gateways.alive", sentence)


def _holds(books: BookFacts, patience: Patience) -> Finding:
    if books.oldest_hold_s is None:
        return ok("holds.open", "No call is in flight.")
    sentence = f"The oldest call in flight is {books.oldest_hold_s:,.0f} s old."
    if books.oldest_hold_s <= patience.call_timeout_s + patience.process_dead_after_s:
        return ok("holds.open", sentence)
    return warning(
        "holds.open",
        f"{sentence} No call may last longer than {patience.call_timeout_s:g} s (CALL_TIMEOUT_S).",
        "See the log of its gateway for settlements that fail; a restart of that gateway closes the hold.",
    )


def _reaped(books: BookFacts) -> Finding:
    if not books.reaped:
        return ok("holds.reaped", "No process died with calls in flight in the last 24 h.")
    return warning(
        "holds.reaped",
        f"{books.reaped} calls were charged in full in the last 24 h, because their gateway died.",
        "See that gateway's log, and the system's for an end by lack of memory.",
    )


def _wedged(books: BookFacts) -> Sequence[Finding]:
    return [
        warning(
            f"backend.{backend}.wedged",
            f"{calls} calls of the last hour got no first byte in time from {backend}: it may be wedged.",
            "Restart Ollama there, or raise FIRST_BYTE_TIMEOUT_S if its models load slowly.",
        )
        for backend, calls in sorted(books.timed_out.items())
        if calls >= _MANY_TIMEOUTS
    ]
