"""Every error class through the real Python libraries: each raises what its documentation names, tells the stable code,
and tries again only when that can help.
"""

from __future__ import annotations

import threading

import pytest

from domain.budgets import Budgets
from domain.limits import Limits
from domain.policies import Policy
from tests.e2e.clients.python_libraries import LIBRARIES, Library, Watched, call_openai
from tests.e2e.clients.troubles import BROKEN, PATIENT, REFUSED, RETRIES, Scene
from tests.e2e.house import House
from tests.e2e.programs import eventually

EVERY_LIBRARY = pytest.mark.parametrize("library", LIBRARIES.values(), ids=list(LIBRARIES))


@EVERY_LIBRARY
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_raises_the_class_that_is_documented_and_is_tried_again_only_if_that_helps(
    clients_house: House, library: Library, name: str, *, streamed: bool
) -> None:
    trouble, watched = REFUSED[name], Watched()
    retries = 0 if name in PATIENT else RETRIES

    with trouble.arrange(clients_house) as scene, pytest.raises(library.class_of(trouble.status)) as raised:
        library.call(scene, watched, streamed=streamed, retries=retries)

    told = watched.last
    assert told is not None
    assert told.status_code == trouble.status
    assert told.headers["x-error-code"] == trouble.code
    assert getattr(raised.value, "status_code", trouble.status) == trouble.status
    assert watched.requests == (min(trouble.tries, 1 + retries) if library.retries else 1)
    assert scene.api_key not in str(raised.value)


@EVERY_LIBRARY
@pytest.mark.parametrize("name", BROKEN)
def test_an_answer_that_breaks_off_raises_and_is_not_asked_for_again(
    clients_house: House, library: Library, name: str
) -> None:
    trouble, watched = BROKEN[name], Watched()

    with trouble.arrange(clients_house) as scene, pytest.raises(library.class_of(0)) as raised:
        library.call(scene, watched, streamed=True)

    assert "broke off" in str(raised.value) or "failed" in str(raised.value)
    assert watched.requests == trouble.tries
    clients_house.settled()


@pytest.mark.parametrize(
    "policy",
    [Policy(limits=Limits(concurrency=1)), Policy(budgets=Budgets(daily=2000))],
    ids=["one at a time", "a budget that one call holds"],
)
def test_a_library_that_waits_as_told_is_served_when_the_place_is_free(clients_house: House, policy: Policy) -> None:
    key = clients_house.new_key(tenant_policy=policy)
    scene, watched = Scene(url=clients_house.url, api_key=key.text), Watched()
    slow = {"behaviour": {"first_byte_delay_s": 2.0}, "times": 1}
    clients_house.simulator.behave(slow)
    first = threading.Thread(target=call_openai, args=(scene, Watched()), kwargs={"streamed": False})
    first.start()
    for _ in eventually(10):
        if any(clients_house.simulator.state()["in_flight"].values()):
            break

    try:
        call_openai(scene, watched, streamed=False, retries=5)
    finally:
        first.join()

    assert watched.requests > 1
    assert watched.last is not None and watched.last.status_code == 200
