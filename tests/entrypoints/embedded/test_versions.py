"""Which server may open what another one wrote."""

from pathlib import Path

import pytest

from entrypoints.embedded.errors import VersionError
from entrypoints.embedded.versions import check_postgres, check_store, postgres_major, store_version


@pytest.mark.parametrize(
    ("said", "major"),
    [
        ("postgres (PostgreSQL) 18.6", 18),
        ("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", 15),
        ("postgres (PostgreSQL) 19beta1", 19),
    ],
)
def test_postgres_says_its_major_version(said: str, major: int) -> None:
    assert postgres_major(said) == major


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("Valkey server v=9.1.2 sha=00000000:1 malloc=libc bits=64 build=1536df31c0395150", "valkey 9.1"),
        ("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64 build=c0", "redis 7.0"),
        ("valkey 9.1", "valkey 9.1"),
    ],
)
def test_a_store_says_product_and_version(said: str, version: str) -> None:
    assert str(store_version(said)) == version


def test_gibberish_is_not_a_version() -> None:
    with pytest.raises(VersionError, match="not a PostgreSQL version: 'hello'"):
        postgres_major("hello\n")
    with pytest.raises(VersionError, match="not a Valkey version: 'hello'"):
        store_version("hello\n")


@pytest.mark.parametrize(
    ("wrote", "opens", "fits"),
    [
        ("valkey 9.1", "valkey 9.1", True),
        ("valkey 8.1", "valkey 9.1", True),
        ("valkey 9.1", "valkey 9.0", False),
        ("redis 7.0", "valkey 9.1", True),
        ("redis 7.4", "valkey 9.1", False),
        ("valkey 9.1", "redis 7.0", False),
        ("valkey 7.2", "redis 8.2", False),
        ("redis 7.0", "redis 6.2", False),
    ],
)
def test_stores_may_move_up_and_from_redis_to_valkey(tmp_path: Path, wrote: str, opens: str, *, fits: bool) -> None:
    record = tmp_path / "valkey.version"
    record.write_text(wrote + "\n")

    if fits:
        check_store(record, store_version(opens))
    else:
        with pytest.raises(VersionError, match=f"written by {wrote}, which {opens} cannot read"):
            check_store(record, store_version(opens))


def test_nothing_written_yet_fits_everything(tmp_path: Path) -> None:
    check_store(tmp_path / "valkey.version", store_version("redis 6.2"))
    check_postgres(tmp_path / "pgdata", 18)


def test_a_postgres_too_old_for_us_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VersionError, match="PostgreSQL 14 is too old"):
        check_postgres(tmp_path / "pgdata", 14)


def test_another_major_version_is_refused_with_a_way_on(tmp_path: Path) -> None:
    (tmp_path / "PG_VERSION").write_text("15\n")

    with pytest.raises(VersionError) as refusal:
        check_postgres(tmp_path, 18)

    assert refusal.value.sentence == (
        f"{tmp_path} was written by PostgreSQL 15, and the server found is PostgreSQL 18."
    )
    assert "dump" in refusal.value.remedy


def test_a_directory_that_lost_its_version_is_not_taken_for_new(tmp_path: Path) -> None:
    with pytest.raises(VersionError, match="holds no PostgreSQL database"):
        check_postgres(tmp_path, 18)
