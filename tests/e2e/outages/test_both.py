"""Both stores away together; and who somebody is while one of them is: no key that may be good is called a bad one."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from domain.keys import mint
from tests.e2e.house import Key
from tests.e2e.outages.asking import DIALECTS, NATIVE, Told, ask, refused_well
from tests.e2e.outages.books import disagreements
from tests.e2e.outages.site import NEVER_BINDING, PATIENT, Site
from tests.e2e.programs import PEPPER, eventually
from tests.faults.line import FaultyLine

pytestmark = pytest.mark.stores

NOBODYS = mint("zzzzzzzz", "z" * 32, PEPPER.encode()).secret.unwrap()


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Site.open(PATIENT) as opened:
        yield opened


def take_away(*lines: FaultyLine) -> None:
    for line in lines:
        line.refuses = True
        line.reset()


def told_to(site: Site, key_text: str, path: str = NATIVE) -> Told:
    headers = {"Authorization": f"Bearer {key_text}"}
    with httpx.Client(base_url=site.house.url, headers=headers) as client:
        return ask(client, path)


def serves_again(site: Site, key: Key) -> None:
    for line in (site.redis, site.postgres):
        line.clear()
    for _ in eventually(5):
        if told_to(site, key.text).served:
            break
    wrong = disagreements(site.house, key)
    assert not wrong, wrong


def test_without_both_stores_everybody_hears_of_it_in_their_dialect(site: Site) -> None:
    assert told_to(site, site.key.text).served
    take_away(site.redis, site.postgres)

    told = [told_to(site, site.key.text, path) for path in DIALECTS]
    unknown = told_to(site, NOBODYS)

    assert [refused_well(one, "limiter_unavailable") for one in told] == [""] * len(told)
    assert refused_well(unknown, "identity_unavailable") == ""
    serves_again(site, site.key)


@pytest.mark.parametrize(
    ("away", "code"), [("redis", "limiter_unavailable"), ("postgres", "ledger_unavailable")], ids=["redis", "postgres"]
)
def test_a_known_key_is_told_which_store_is_away(site: Site, away: str, code: str) -> None:
    assert told_to(site, site.key.text).served
    take_away(getattr(site, away))

    told = [told_to(site, site.key.text, path) for path in DIALECTS]

    assert [refused_well(one, code) for one in told] == [""] * len(told)
    serves_again(site, site.key)


def test_a_key_that_cannot_be_looked_up_is_not_called_a_bad_one(site: Site) -> None:
    never_seen = site.house.new_key(tenant_policy=NEVER_BINDING)
    take_away(site.postgres)

    told = [told_to(site, text, path) for text in (never_seen.text, NOBODYS) for path in DIALECTS]

    assert [refused_well(one, "identity_unavailable") for one in told] == [""] * len(told)
    serves_again(site, never_seen)
    assert told_to(site, NOBODYS).status == 401


def test_a_key_that_no_gateway_made_is_a_bad_one_without_any_store(site: Site) -> None:
    take_away(site.redis, site.postgres)

    told = told_to(site, NOBODYS[:-1] + ("a" if NOBODYS[-1] != "a" else "b"))

    assert (told.status, told.code) == (401, "invalid_api_key")
    serves_again(site, site.key)
