"""The audit of real gateways, some of them killed, is sealed while they serve; and the command that checks it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import CompletedProcess

import httpx
import psycopg
import pytest

from entrypoints.embedded import EmbeddedStores
from tests.e2e.house import House
from tests.e2e.programs import Gateway, cli, eventually

pytestmark = pytest.mark.stores

CHAT = {"model": "sim-chat", "messages": [{"role": "user", "content": "Hi"}], "stream": False}
SEAL_KEY = "the-seal-key-of-a-house-that-is-a-test"
STRANGERS = 600


@pytest.fixture(scope="module")
def sealed_house(stores: EmbeddedStores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House.open(
        stores, tmp_path_factory.mktemp("sealed"), AUDIT_SEAL_KEY=SEAL_KEY, PROCESS_BEAT_S="1", PROCESS_DEAD_AFTER_S="3"
    ) as house:
        for number in range(2):
            gateway = Gateway(house.environ, house.folder, f"gateway-{number}")
            house.gateways.append(gateway)
            gateway.wait_ready()
        _serve_and_kill(house)
        for _ in eventually(60, every_s=1):
            if json.loads(verify(house, "--json").stdout)["rows_not_sealed"] == 0:
                break
        yield house


def _serve_and_kill(house: House) -> None:
    first, second = house.gateways
    key = house.new_key()
    house.simulator.behave({"behaviour": {"stall_after_objects": 2, "stall_s": 60}, "times": 2})
    with ThreadPoolExecutor(12) as pool, httpx.Client(timeout=30) as client:

        def call(gateway: Gateway, headers: dict[str, str], *, stream: bool = False) -> int:
            try:
                body = CHAT | {"stream": stream}
                return client.post(f"{gateway.url}/api/chat", json=body, headers=headers).status_code
            except httpx.HTTPError:
                return 0

        doomed = [pool.submit(call, first, key.headers, stream=True) for _ in range(2)]
        for _ in eventually(20):
            if house.open_holds() == 2:
                break
        strangers = [pool.submit(call, second, {"x-api-key": "nz_nobody"}) for _ in range(STRANGERS)]
        served = [pool.submit(call, second, key.headers) for _ in range(20)]
        first.kill()
        answers = [[future.result() for future in part] for part in (doomed, strangers, served)]
    house.settled(20)  # the killed one's calls are reaped
    assert answers == [[0, 0], [401] * STRANGERS, [200] * 20]


def verify(house: House, *options: str) -> CompletedProcess[str]:
    return cli(house.environ, house.folder, "audit", "verify", *options)


def anchors(house: House) -> Path:
    """The log of both, as it would be shipped."""
    file = house.folder / "shipped.log"
    file.write_text("".join(gateway.text() for gateway in house.gateways))
    return file


def test_what_was_served_refused_and_reaped_is_sealed_within_seconds_and_is_as_it_was(sealed_house: House) -> None:
    house = sealed_house
    answer = verify(house, "--anchors", str(anchors(house)), "--json")

    told = json.loads(answer.stdout)
    counted = house.rows(
        "select count(*) as rows, count(*) filter (where event = 'reaped') as reaped,"
        " sum(count) filter (where event = 'refused') as refused from audit"
    )[0]
    assert (answer.returncode, told["good"], told["findings"]) == (0, True, [])
    assert (told["rows"], counted["reaped"], counted["refused"]) == (counted["rows"], 2, STRANGERS)


def test_a_row_that_an_administrator_changes_is_named(sealed_house: House) -> None:
    house = sealed_house
    change = (
        "update neuronetz.audit set prompt_tokens = prompt_tokens + {} where request_id = '{}' and event = 'reaped'"
    )
    [row, _] = house.rows("select request_id from audit where event = 'reaped'")

    def meddle(by: int) -> None:
        with psycopg.connect(house.database_url) as connection:
            connection.execute("set session_replication_role = replica")
            assert connection.execute(change.format(by, row["request_id"]).encode()).rowcount == 1

    meddle(1)
    answer = verify(house)
    meddle(-1)

    assert answer.returncode == 1
    assert answer.stdout.splitlines()[0].startswith("Changed after it was sealed: reaped of ")
    assert row["request_id"].hex in answer.stdout.splitlines()[0]
    assert verify(house).returncode == 0


def test_seals_that_are_taken_away_show_against_the_log(sealed_house: House) -> None:
    house = sealed_house
    log = anchors(house).read_text() + json.dumps({"event": "audit_sealed", "n": 10**6, "root": "", "mac": ""}) + "\n"
    anchors(house).write_text(log)

    answer = verify(house, "--anchors", str(house.folder / "shipped.log"))

    assert answer.returncode == 1
    assert "removed" in answer.stdout


def test_a_file_without_seals_is_refused(sealed_house: House) -> None:
    (sealed_house.folder / "other.log").write_text("{}\n")

    answer = verify(sealed_house, "--anchors", "other.log")

    assert answer.returncode == 1
    assert "audit_sealed" in answer.stderr


def test_without_the_key_nothing_can_be_checked(sealed_house: House) -> None:
    answer = cli(sealed_house.environ | {"AUDIT_SEAL_KEY": ""}, sealed_house.folder, "audit", "verify")

    assert answer.returncode == 1
    assert "AUDIT_SEAL_KEY is not set" in answer.stderr
    assert SEAL_KEY not in answer.stdout + answer.stderr
