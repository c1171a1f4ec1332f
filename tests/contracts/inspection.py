"""What a look at the stores tells. A test module subclasses each contract and gives it an `inspection` of a store that
is well.
"""

from __future__ import annotations

from domain.ports.inspection import DatabaseInspection, LimiterInspection


class DatabaseInspectionContract:
    async def test_a_healthy_database_is_seen_as_one(self, inspection: DatabaseInspection) -> None:
        facts = await inspection.look()

        assert facts.writable
        assert facts.version.startswith(str(facts.version_number // 10_000))
        assert facts.revision == facts.newest_revision
        assert 0 < facts.connections <= facts.most_connections
        assert len(facts.commits_ms) > 1
        assert min(facts.commits_ms) > 0

    async def test_its_clock_is_near_ours(self, inspection: DatabaseInspection) -> None:
        facts = await inspection.look()

        assert abs(facts.clock.ahead_s) < 2

    async def test_its_books_are_in_order(self, inspection: DatabaseInspection) -> None:
        books = (await inspection.look()).books

        assert books is not None
        assert books.partitions_ahead >= 2
        assert (books.oldest_hold_s, books.reaped, books.timed_out) == (None, 0, {})
        assert books.prompt_log_keys in (None, 0)
        assert books.unsealed_s is None


class LimiterInspectionContract:
    async def test_a_healthy_store_is_seen_as_one(self, inspection: LimiterInspection) -> None:
        facts = await inspection.look()

        assert facts.name in ("Redis", "Valkey")
        assert int(facts.version.split(".")[0]) >= 7
        assert facts.eviction == "noeviction"
        assert facts.role == "master"
        assert facts.used_bytes > 0
        assert len(facts.pings_ms) == 20
        assert min(facts.pings_ms) > 0

    async def test_its_clock_is_near_ours(self, inspection: LimiterInspection) -> None:
        assert abs((await inspection.look()).clock.ahead_s) < 2
