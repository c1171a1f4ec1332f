"""The histories can fail: each of these mistakes, made on purpose, is found by some of them."""

from __future__ import annotations

import hashlib

import attrs
import pytest

from adapters.redis.scripts import Script, Scripts, read_scripts
from entrypoints.embedded import EmbeddedStores
from tests.histories.books import Books
from tests.histories.conftest import opener
from tests.histories.mutants import IN_LUA, IN_SQL, Mutant
from tests.histories.runs import run

pytestmark = [pytest.mark.stores, pytest.mark.nightly, pytest.mark.timeout(1800)]
EXAMPLES = 300


@pytest.mark.parametrize("mutant", IN_SQL, ids=str)
def test_a_mistake_in_the_sql_is_found(books: Books, stores: EmbeddedStores, mutant: Mutant) -> None:
    books.replace_in_function(mutant.where, mutant.old, mutant.new)

    assert _is_found(books, stores, read_scripts())


@pytest.mark.parametrize("mutant", IN_LUA, ids=str)
def test_a_mistake_in_the_lua_is_found(books: Books, stores: EmbeddedStores, mutant: Mutant) -> None:
    assert _is_found(books, stores, _mutated(read_scripts(), mutant))


def _is_found(books: Books, stores: EmbeddedStores, scripts: Scripts) -> bool:
    for open_house in opener(books, stores.redis_url, scripts):
        try:
            run(open_house, EXAMPLES, seed=7, shrinks=False)
        except Exception:  # noqa: BLE001  a mistake shows as a broken promise, or as an error of the store itself
            return True
    return False


def _mutated(scripts: Scripts, mutant: Mutant) -> Scripts:
    script: Script = getattr(scripts, mutant.where)
    assert script.text.count(mutant.old) == 1
    text = script.text.replace(mutant.old, mutant.new)
    sha1 = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
    return attrs.evolve(scripts, **{mutant.where: Script(text, sha1)})
