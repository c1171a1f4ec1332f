"""The parts of the corpus through one way in, and what must never be in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs

from tests.e2e.wire.answers import Conversation, Kept, converse
from tests.e2e.wire.bodies import hostile_bodies
from tests.e2e.wire.case import KEY, chat
from tests.e2e.wire.framings import FRAMINGS
from tests.e2e.wire.matrix import MUTATIONS, PLAIN, Cell, cells
from tests.e2e.wire.rig import Rig, Seen
from tests.e2e.wire.values import CANARY, FROM_BACKENDS, FROM_CLIENTS

ANSWERED_WITH = {
    "alt-svc", "cache-control", "connection", "content-length", "content-type", "date", "referrer-policy",
    "retry-after", "server", "strict-transport-security", "transfer-encoding", "www-authenticate", "x-accel-buffering",
    "x-content-type-options", "x-error-code", "x-request-id",
}  # fmt: skip
"""Every field that the gateway, or Caddy, may put on an answer here."""


def wrongs(seen: Mapping[str, Seen] | Mapping[Cell, Seen]) -> list[str]:
    """Everything that must never be, by case."""
    return [f"{case}: {wrong}" for case, one in seen.items() for wrong in one.wrong]


def framings_through(rig: Rig) -> Iterator[tuple[str, Seen]]:
    """Each raw framing on a connection of its own."""
    for name, case in FRAMINGS.items():
        conversation = converse(
            rig.connect(), case.written(rig.key.text), then_fin=case.then_fin, head_only=case.head_only
        )
        yield name, rig.judged(conversation, may_smuggle=case.pipelined)


def matrix_through(rig: Rig, part: int = 1) -> Iterator[tuple[Cell, Seen]]:
    """The matrix over one connection, opened anew when a refusal has closed it."""
    kept: Kept | None = None
    for cell in cells(part):
        kept = kept or Kept(rig.connect())
        conversation = kept.ask(cell.request(rig.key.text), head_only=cell.method == "HEAD")
        seen = rig.judged(conversation)
        yield cell, attrs.evolve(seen, wrong=[*seen.wrong, *_misrouted(cell, seen)])
        if conversation.closed or conversation.hung:
            kept.connection.close()
            kept = None
    if kept is not None:
        kept.connection.close()


def _misrouted(cell: Cell, seen: Seen) -> Iterator[str]:
    if seen.reached and not cell.is_call:
        yield "reached the backend"
    for answer, mark in seen.marks():
        if mark == " front":
            continue
        if cell.route in MUTATIONS and cell.spelling == PLAIN and answer.status != 403:
            yield f"a mutation answered {answer.status}"
        if (answer.status == 200 and not cell.may_be_answered) or answer.status not in _STATUSES:
            yield f"answered {answer.status}"


_STATUSES = {200, 400, 403, 404, 405, 414, 501}


def values_through(rig: Rig) -> Iterator[tuple[str, Seen]]:
    """Hostile values from a client."""
    for name, field in FROM_CLIENTS.items():
        written = chat(field).replace(KEY.encode(), rig.key.text.encode())
        seen = rig.judged(converse(rig.connect(), [written]), may_smuggle=False)
        yield name, attrs.evolve(seen, wrong=[*seen.wrong, *_injected(seen)])


def spoilt_through(rig: Rig) -> Iterator[tuple[str, Seen]]:
    """Hostile values in what a backend answers."""
    written = chat().replace(KEY.encode(), rig.key.text.encode())
    try:
        for name, lines in FROM_BACKENDS.items():
            rig.tap.spoiling = lines
            conversation = converse(rig.connect(), [written])
            seen = rig.judged(conversation)
            # A backend whose answer cannot be read is asked all the same: 502 is the right answer then.
            wrong = [one for one in seen.wrong if "were answered" not in one or not _given_up(conversation)]
            yield name, attrs.evolve(seen, wrong=[*wrong, *_injected(seen), *_split(seen)])
    finally:
        rig.tap.spoiling = b""


def _split(seen: Seen) -> Iterator[str]:
    if len(seen.conversation.answers) != 1:
        yield "one answer became several"


def _given_up(conversation: Conversation) -> bool:
    return [answer.status for answer in conversation.answers] == [502]


def _injected(seen: Seen) -> Iterator[str]:
    """Something of the hostile value that came out on either side."""
    answers = seen.conversation.answers
    if not answers or seen.conversation.garbage:
        yield "no answer"
    if CANARY in seen.conversation.raw.lower():
        yield "came back to the client"
    for answer in answers:
        if strange := {name for name in answer.headers if name not in ANSWERED_WITH}:
            yield f"answered with {sorted(strange)}"
    for upstream in seen.reached:
        if any(CANARY.decode() in value.lower() for _, value in upstream.headers):
            yield "reached the backend's headers"


def bodies_through(rig: Rig) -> Iterator[tuple[str, Seen]]:
    """Large and deep bodies."""
    for name, raw in hostile_bodies():
        written = raw.replace(KEY.encode(), rig.key.text.encode(), 1)
        yield name, rig.judged(converse(rig.connect(), [written]))


def one_long_call_through(rig: Rig) -> Seen:
    """An ordinary call with megabytes of text."""
    body = b'{"model":"sim-chat","stream":false,"messages":[{"role":"user","content":"%b"}]}' % (b"word " * 800_000)
    return rig.judged(converse(rig.connect(), [chat(body=body).replace(KEY.encode(), rig.key.text.encode(), 1)]))
