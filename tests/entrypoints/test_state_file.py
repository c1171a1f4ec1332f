from __future__ import annotations

from pathlib import Path

from entrypoints.state_file import keep_in, kept_in, state_file


def test_nothing_is_kept_before_the_first_start(tmp_path: Path) -> None:
    assert kept_in(tmp_path) == {}


def test_what_is_kept_is_found_again_by_its_owner_alone(tmp_path: Path) -> None:
    keep_in(tmp_path, {"KEY_PEPPER": "old", "OLLAMA_BASE_URL": "http://a:1"})
    keep_in(tmp_path, {"KEY_PEPPER": "new"})

    assert kept_in(tmp_path) == {"KEY_PEPPER": "new", "OLLAMA_BASE_URL": "http://a:1"}
    assert state_file(tmp_path).stat().st_mode & 0o777 == 0o600
