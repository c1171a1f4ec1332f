"""Mistakes that the histories must find: what a script or a function says, and what it would say instead."""

from __future__ import annotations

from collections.abc import Sequence

import attrs


@attrs.frozen
class Mutant:
    """One mistake, in a function of the ledger or in a script of the limit store."""

    name: str
    where: str
    old: str
    new: str

    def __str__(self) -> str:
        return self.name


IN_SQL: Sequence[Mutant] = (
    Mutant(
        "a settlement is believed whatever it says",
        "close_holds",
        "least(greatest(e.prompt_tokens, 0), h.tokens) as prompt_used",
        "e.prompt_tokens as prompt_used",
    ),
    Mutant(
        "a late settlement is charged on top of the reaper's",
        "close_holds",
        "g.prompt_used + g.output_used - coalesce(g.charged, 0)",
        "g.prompt_used + g.output_used",
    ),
    Mutant("a settled hold stays held", "close_holds", "then -g.tokens else 0", "then 0 else 0"),
    Mutant(
        "the reaper gives back what it closes",
        "reap",
        "c.month_start, c.tokens, -c.tokens",
        "c.month_start, 0, -c.tokens",
    ),
    Mutant("the reaper closes what it closed before", "orphans", "h.state = 'open'", "true"),
    Mutant(
        "a reaped hold is granted again",
        "read_asks",
        "when h.state = 'open' then 'again'",
        "when h.state is not null then 'again'",
    ),
    Mutant("a repeated hold is held twice", "read_asks", "when h.state = 'open' then 'again'", ""),
    Mutant("a revoked key may hold", "read_asks", "or k.revoked_at is not null", ""),
    Mutant("an expired key may hold", "read_asks", "or k.expires_at <= neuronetz.ledger_now()", ""),
    Mutant("a suspended tenant may hold", "read_asks", "or t.state <> 'active'", ""),
    Mutant("a hold of a former epoch is granted", "read_asks", "or t.limits_epoch is distinct from i.epoch", ""),
    Mutant(
        "what is held does not count",
        "ledger",
        "coalesce(w.used + w.held, 0) + n.need > n.most",
        "coalesce(w.used, 0) + n.need > n.most",
    ),
    Mutant(
        "a batch is looked at call by call", "ledger", "sum(a.tokens)::bigint as need", "max(a.tokens)::bigint as need"
    ),
    Mutant(
        "the tightest window is the roomiest", "fit", "order by room, x.kind desc", "order by room desc, x.kind desc"
    ),
    Mutant(
        "a day begins an hour late",
        "ledger",
        "date_trunc('day', this_instant, 'UTC')",
        "date_trunc('day', this_instant - interval '1 hour', 'UTC')",
    ),
    Mutant("what was open long is not restored", "tenant_facts", "h.opened_at <= horizon", "false"),
    Mutant("the restored minute has 30 seconds", "tenant_facts", "interval '61 seconds'", "interval '30 seconds'"),
    Mutant("restoring starts no new epoch", "tenant_facts", "t.limits_epoch + 1", "t.limits_epoch"),
)

IN_LUA: Sequence[Mutant] = (
    Mutant(
        "an emptied store admits", "admit", "if filled_in ~= run_id then return {ok = 'E'} end", "epoch = epoch or '1'"
    ),
    Mutant("an outdated identity is admitted", "admit", "  return {ok = 'O'}\n", ""),
    Mutant("a repeated request is charged again", "admit", "if state == 'o' and its_epoch == epoch", "if false"),
    Mutant(
        "the window forgets its oldest second",
        "admit",
        "local gone_s = now_s - WINDOW_S - 1",
        "local gone_s = now_s - WINDOW_S + 5",
    ),
    Mutant(
        "one more is admitted",
        "admit",
        "local excess = w.sum + cost - w.limit",
        "local excess = w.sum + cost - w.limit - 1",
    ),
    Mutant(
        "one more slot than the limit", "admit", ">= tonumber(limit) and wait < 1", "> tonumber(limit) and wait < 1"
    ),
    Mutant("the end of a call takes back twice", "release", "  redis.call('SETRANGE', KEYS[1], 0, 'r')\n".strip(), ""),
    Mutant("a refund of a former filling is believed", "release", "if epoch ~= its_epoch then", "if false then"),
    Mutant(
        "the tenant's tokens are taken back from its calls",
        "release",
        "take_back(KEYS[3], tenant_tokens, ARGV[2])",
        "take_back(KEYS[7], tenant_tokens, ARGV[2])",
    ),
    Mutant(
        "restoring forgets the calls that ended", "restore", "if second > now_s - WINDOW_S - 1 then", "if open > 0 then"
    ),
    Mutant(
        "restoring gives no slots", "restore", "redis.call('ZADD', KEYS[5], now_ms + LEASE_MS, facts.open[open])", ""
    ),
    Mutant(
        "a change is never announced",
        "announce",
        "if tonumber(ARGV[i + 1]) > ",
        "if false and tonumber(ARGV[i + 1]) > ",
    ),
    Mutant(
        "slots are renewed as if they were over",
        "heartbeat",
        "now_ms + LEASE_MS, ARGV[i + 1])\n  redis.call('ZADD', KEYS[tonumber",
        "now_ms - LEASE_MS, ARGV[i + 1])\n  redis.call('ZADD', KEYS[tonumber",
    ),
)
