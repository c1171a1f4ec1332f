"""Every figure and its target."""

from __future__ import annotations

from enum import Enum


class Figure(Enum):
    """Each with its words and its target."""

    OVERSPEND = "budget overspend, tokens", "0"
    RATES_EXCEEDED = "calls or tokens above a limit in any 60 s", "0"
    SERVED_WITHOUT_RECORD = "requests served without audit record", "0"
    SERVED_OR_SETTLED_TWICE = "requests served twice or settled twice", "0"
    HOLDS_LEFT_OPEN = "open reservations 120 s after chaos ends", "0"
    SLOTS_LEAKED = "slots leaked 30 s after kill -9", "0"
    CONNECTIONS_LOST = "upstream connections lost after 20,000 cancels", "0"
    ADMITTED_AFTER_REVOKE = "admissions after revoke returned, 3 replicas", "0"
    REVOKED_STREAM_CUT = "cut of a revoked key's stream", "<= 10 s"
    ADMITTED_WITHOUT_STORE = "admissions while Redis or PostgreSQL is unusable", "0"
    SERVES_AGAIN_REDIS = "time to serve again after Redis", "<= 2 s"
    SERVES_AGAIN_POSTGRES = "time to serve again after PostgreSQL", "<= 5 s"
    SERVES_AGAIN_FLUSH = "time to serve again after a flush", "<= 2 s"
    KILLS_SURVIVED = "kill -9 events survived: gateway / Redis / PostgreSQL", "100 / 30 / 30"
    STATE_MACHINE_RUNS = "state-machine runs", "500 x 50 in CI, 20,000 nightly"
    HOSTILE_INPUTS = "hostile inputs reaching the backend wrongly, answers 500", "0 of >= 5,000 fixed + 1 M fuzzed"
    FRAMINGS = "raw HTTP framings, direct and through Caddy", ">= 120, verdicts committed"
    ROUTES = "route x encoding x method to blocked endpoints, let through", "0 of >= 3,000"
    HOSTILE_BACKENDS = "hostile backends, growth of memory", ">= 25, <= 32 MiB"
    TIMING = "timing classes apart (median's confidence interval)", "within 50 us"
    STRANGERS_ARGON2 = "Argon2 runs caused by strangers", "0 in 60,000 bad keys"
    STRANGERS_P99 = "growth of valid p99 under 2,000 bad keys/s", "<= 20 %"
    ADDED_LATENCY = "added latency, cached key, 50 streams", "p50 <= 5 ms, p99 <= 25 ms"
    ADMISSIONS_A_SECOND = "admissions per second, one process", ">= 300"
    SLOW_STREAMS = "concurrent slow streams, one process", ">= 500, <= 150 KiB each"
    STALLED_READERS = "stalled readers", "200 held <= 35 s, <= 1 MiB each"
    LOOP_LAG = "event-loop lag under that load", "p99 <= 20 ms"
    SOAK = "soak: slope of RSS, descriptors, tasks", "0 within noise"
    CANARIES = "canary secrets found in logs, Redis, metrics, dumps", "0"
    PROMPTS_AFTER_TTL = "prompt text after TTL + 1 h", "0"
    TAMPERINGS_FOUND = "audit verify: random tamperings caught", "100 of 100"
    MUTATION_SCORE = "mutation score of auth, limits, ledger, parser", ">= 85 % killed"
    HANG_UPS = "hang-ups: upstream closed and half-closed", "<= 1 s, 0 resets"
    GROWTH = "cost of a call / usage / list-keys, full against empty database", "flat (<= 1.2)"

    def __init__(self, words: str, target: str) -> None:
        self.words = words
        self.target = target
