"""The whole pipeline over fakes that remember: one clock, moved by hand, and gates where a step can be made to wait."""

from __future__ import annotations

import asyncio
import selectors
from collections import deque
from collections.abc import Coroutine, Sequence
from datetime import datetime
from typing import Any, TypeVar

import attrs

from application.backends import Backends
from application.live_calls import Deadlines, LiveCall, LiveCalls
from application.look_up import LookUp
from application.pipeline import Pipeline
from application.presented import NO_RATES, PresentedCall, Rates, Reply
from application.prompt_keys import PromptKeys
from application.prompt_log import PromptLog
from application.prompt_sealing import Sealing
from application.rooms.admit import Admit
from application.rooms.identify import Identify
from application.rooms.keep import Keep
from application.shared_time import SharedTime
from application.signs_of_life import SignsOfLife
from application.upkeep import Upkeep
from application.watchdog import Watchdog
from domain.bounds import OutputCaps
from domain.calls import Call, Endpoint
from domain.changes import Change
from domain.faults import Fault
from domain.keys import PresentedKey, Secret, mint
from domain.policies import EVERYTHING, Policy, TenantState
from domain.ports.budget_ledger import HoldRequest, HoldVerdict, Settlement
from domain.ports.limit_store import Admission, AdmissionRequest, TenantFacts
from domain.ports.model_backend import Answer, Survey, UpstreamCall
from domain.ports.registers import ApiKey, KnownKey, Tenant
from domain.ports.usage_journal import Note
from domain.refusals import Refusal
from domain.settlement import Outcome
from domain.tally import Piece
from tests.builders import to
from tests.fakes.budget_ledger import MemoryBudgetLedger
from tests.fakes.call_observer import MemoryCallObserver
from tests.fakes.encryption import FakeEncryption
from tests.fakes.hour_keys import MemoryHourKeys
from tests.fakes.key_cache import MemoryKeyCache
from tests.fakes.limit_store import MemoryLimitStore
from tests.fakes.model_backend import FakeModelBackend, Scene
from tests.fakes.prompt_journal import MemoryPromptJournal
from tests.fakes.registers import Books, MemoryKeyRegister, MemoryTenantRegister
from tests.fakes.surroundings import FakeClock, FakeEntropy, FakePasswords
from tests.fakes.turns import MemoryTurns
from tests.fakes.usage_journal import MemoryUsageJournal
from tests.fakes.wedge_board import MemoryWedgeBoard

T = TypeVar("T")

PEPPER = b"pepper of the tests"
MODEL = "llama3.2:1b"
PROMPT = 100 + 16 + 512
"""P of `a_call`: its bytes, one message's slack, the template."""
OUTPUT = 20
HOLD = PROMPT + OUTPUT
HEALTHY = 11 + 8
"""What a healthy answer reports: prompt and output."""
REFUSED_STATUS = 400
FAULT_STATUS = 503
DEADLINES = Deadlines(first_byte_s=120, next_byte_s=60, reader_s=30, whole_call_s=600)


# -- time that passes by itself -------------------------------------------------------------------------------------


class _JumpingSelector(selectors.SelectSelector):
    """Where a loop would wait for a timer, time jumps to it instead."""

    def __init__(self) -> None:
        super().__init__()
        self.jumped_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(0)
        if not found:
            if timeout is None:
                raise AssertionError("nothing will ever happen again: a lost wake-up")
            self.jumped_s += timeout
        return found


class _JumpingLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.jumped_s


def in_no_time(story: Coroutine[Any, Any, T]) -> T:
    """Runs a story whose timers run out at once. A wait that nothing ends is an error, not a hang."""
    with asyncio.Runner(loop_factory=_JumpingLoop) as runner:
        return runner.run(story)


async def turns_of_the_loop(count: int = 20) -> None:
    """Lets everything run that can."""
    for _ in range(count):
        await asyncio.sleep(0)


class Gate:
    """A place where a step can be made to wait. Open until it is shut."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()
        self.reached = asyncio.Event()

    def shut(self) -> None:
        self._open.clear()

    def open(self) -> None:
        self._open.set()

    async def go_through(self) -> None:
        self.reached.set()
        await self._open.wait()


# -- fakes with gates and scripts -----------------------------------------------------------------------------------


@attrs.frozen
class Release:
    tenant_id: str
    key_id: str
    request_id: str
    refund_tokens: int
    refund_call: bool
    attempt: int


class RiggedLimits(MemoryLimitStore):
    """Answers as scripted, then as it is; `answering` is where an answer is on its way, its charge already made."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock.now_ms)
        self.answering = Gate()
        self.restoring = Gate()
        self.scripted: deque[Admission | Exception] = deque()
        self.requests: list[AdmissionRequest] = []
        self.releases: list[Release] = []
        self.restored: list[int] = []
        self.heartbeats: list[Sequence[tuple[str, str, str]]] = []

    async def admit(self, request: AdmissionRequest) -> Admission:
        self.requests.append(request)
        if self.scripted:
            scripted = self.scripted.popleft()
            if isinstance(scripted, Exception):
                raise scripted
            return scripted
        verdict = await super().admit(request)
        await self.answering.go_through()
        return verdict

    def release(
        self,
        tenant_id: str,
        key_id: str,
        request_id: str,
        refund_tokens: int,
        *,
        refund_call: bool = False,
        attempt: int = 0,
    ) -> None:
        self.releases.append(Release(tenant_id, key_id, request_id, refund_tokens, refund_call, attempt))
        super().release(tenant_id, key_id, request_id, refund_tokens, refund_call=refund_call, attempt=attempt)

    async def restore(self, tenant_id: str, facts: TenantFacts) -> None:
        await self.restoring.go_through()
        self.restored.append(facts.epoch)
        await super().restore(tenant_id, facts)

    async def heartbeat(self, live: Sequence[tuple[str, str, str]]) -> None:
        self.heartbeats.append(list(live))
        await super().heartbeat(live)


class RiggedLedger(MemoryBudgetLedger):
    """Answers as scripted, then as it is; `answering` is where an answer is on its way, its hold already made."""

    def __init__(self, books: Books) -> None:
        super().__init__(books)
        self.answering = Gate()
        self.scripted: deque[HoldVerdict | Exception] = deque()
        self.requests: list[HoldRequest] = []
        self.settlements: list[Settlement] = []
        self.facts_asked = 0

    async def hold(self, request: HoldRequest) -> HoldVerdict:
        self.requests.append(request)
        if self.scripted:
            scripted = self.scripted.popleft()
            if isinstance(scripted, Exception):
                raise scripted
            return scripted
        verdict = await super().hold(request)
        await self.answering.go_through()
        return verdict

    def settle(self, settlement: Settlement) -> None:
        self.settlements.append(settlement)
        super().settle(settlement)

    async def tenant_facts(self, tenant_id: str) -> TenantFacts:
        self.facts_asked += 1
        return await super().tenant_facts(tenant_id)


class RiggedRegister(MemoryKeyRegister):
    def __init__(self, books: Books) -> None:
        super().__init__(books)
        self.finding = Gate()
        self.finds = 0
        self.rehash_fault: Fault | None = None

    async def find(self, prefix: str) -> KnownKey | None:
        self.finds += 1
        await self.finding.go_through()
        return await super().find(prefix)

    async def rehash(self, key_id: str, secret_hash: str) -> None:
        if self.rehash_fault is not None:
            raise self.rehash_fault
        await super().rehash(key_id, secret_hash)


class RiggedCache(MemoryKeyCache):
    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.recalls = 0

    async def recall(self, fingerprint: bytes) -> Any:
        self.recalls += 1
        return await super().recall(fingerprint)


class RiggedAnswer(Answer):
    """Another answer whose reader can be made to wait for the piece after the first so many."""

    def __init__(self, inner: Answer, reading: Gate, waits_after: int | None) -> None:
        self._inner = inner
        self._reading = reading
        self._waits_after = waits_after
        self._pieces = 0
        self.close_fault: Exception | None = None

    async def read(self) -> Piece | None:
        if self._pieces == self._waits_after:
            await self._reading.go_through()
        self._pieces += 1
        return await self._inner.read()

    @property
    def clogged(self) -> bool:
        return self._inner.clogged

    def close(self) -> None:
        self._inner.close()
        if self.close_fault is not None:
            raise self.close_fault


class RiggedBackend(FakeModelBackend):
    """`waits_after` pieces its reader waits at the gate `reading`."""

    def __init__(self, name: str = "fake", **told: Any) -> None:
        super().__init__(name, **told)
        self.reading = Gate()
        self.waits_after: int | None = None
        self.close_fault: Exception | None = None
        self.surveyed = Gate()

    async def open(self, upstream: UpstreamCall) -> Answer:
        answer = RiggedAnswer(await super().open(upstream), self.reading, self.waits_after)
        answer.close_fault = self.close_fault
        return answer

    async def survey(self) -> Survey:
        await self.surveyed.go_through()
        return await super().survey()


class RecordingReply(Reply):
    """What one client got. Each method waits at the gate of its name, where the client may leave or not read."""

    def __init__(self) -> None:
        self.begun = False
        self.ended = False
        self.status = 0
        self.bytes_out = 0
        self.body = b""
        self.length: int | None = None
        """What was promised."""
        self.told: Refusal | Fault | None = None
        self.rates = NO_RATES
        self.wrongs: list[str] = []
        """Breaches of the order begin, send, finish or break_off; or one refuse."""
        self.fault: Exception | None = None
        """Raised by whatever comes next."""
        self.gates = {name: Gate() for name in ("begin", "send", "finish", "break_off", "refuse")}

    async def begin(self, rates: Rates, first: bytes, *, length: int | None = None) -> None:
        self._require(not self.begun and not self.ended, "begin")
        self.begun, self.status, self.rates, self.length = True, 200, rates, length
        await self._go("begin", first)

    async def send(self, raw: bytes) -> None:
        self._require(self.begun and not self.ended, "send")
        await self._go("send", raw)

    async def finish(self) -> None:
        self._require(self.begun and not self.ended, "finish")
        self.ended = True
        await self._go("finish")

    async def break_off(self, fault: Fault) -> None:
        self._require(self.begun, "break_off")
        if self.ended:
            return
        self.told = fault
        await self._go("break_off")
        self.ended = True

    async def refuse(self, reason: Refusal | Fault, rates: Rates) -> None:
        self._require(not self.begun and not self.ended, "refuse")
        self.begun, self.status = True, REFUSED_STATUS if isinstance(reason, Refusal) else FAULT_STATUS
        self.told, self.rates = reason, rates
        await self._go("refuse")
        self.ended = True

    @property
    def code(self) -> str | None:
        return None if self.told is None else self.told.code.value

    def _require(self, in_order: bool, step: str) -> None:  # noqa: FBT001
        if not in_order:
            self.wrongs.append(step)

    async def _go(self, step: str, raw: bytes = b"") -> None:
        if self.fault is not None:
            raise self.fault
        await self.gates[step].go_through()
        self.body += raw
        self.bytes_out += len(raw)


# -- builders -------------------------------------------------------------------------------------------------------


@attrs.frozen
class Form:
    """What a call looks like from outside."""

    endpoint: Endpoint
    streamed: bool

    def __str__(self) -> str:
        return f"{self.endpoint.dialect}-{'streamed' if self.streamed else 'whole'}"


NATIVE = Form(Endpoint.NATIVE_CHAT, streamed=True)
NATIVE_WHOLE = Form(Endpoint.NATIVE_CHAT, streamed=False)
OPENAI = Form(Endpoint.OPENAI_CHAT, streamed=True)
OPENAI_WHOLE = Form(Endpoint.OPENAI_CHAT, streamed=False)
STREAMED = (NATIVE, OPENAI)
WHOLE = (NATIVE_WHOLE, OPENAI_WHOLE)
FORMS = (*STREAMED, *WHOLE)


def a_call(form: Form = NATIVE, *, model: str = MODEL) -> Call:
    return Call(
        endpoint=form.endpoint,
        model=model,
        streamed=form.streamed,
        fields={},
        asked_output_tokens=OUTPUT,
        inputs_bytes=(100,),
    )


def word(count: int = 1) -> Piece:
    """A piece of that many streamed objects of five bytes each."""
    return Piece(b"word " * count, objects=count, text_bytes=5 * count)


def part() -> Piece:
    """A piece of a whole answer: nothing can be counted in it."""
    return Piece(b'{"half": ')


def pieces(form: Form, count: int) -> list[Piece]:
    return [word() if form.streamed else part() for _ in range(count)]


@attrs.frozen
class Client:
    """A tenant with a key, and the key's text."""

    tenant: Tenant
    key: ApiKey
    presented: PresentedKey

    @property
    def secret(self) -> Secret:
        return self.presented.secret


@attrs.frozen
class Served:
    """A call that was started."""

    request_id: str
    live: LiveCall
    reply: RecordingReply

    async def end(self) -> RecordingReply:
        await asyncio.wait_for(asyncio.shield(self.live.task), 5)
        return self.reply


class Rig:
    """One process over fakes. Build it inside a running loop, with `await Rig.of(...)`."""

    def __init__(
        self, *backends: RiggedBackend, depth: int, wait_s: float, remember_s: float, deadlines: Deadlines
    ) -> None:
        self.clock = FakeClock()
        self.books = Books(now=self.clock.now)
        self.limits = RiggedLimits(self.clock)
        self.ledger = RiggedLedger(self.books)
        self.journal = MemoryUsageJournal(self.books)
        self.register = RiggedRegister(self.books)
        self.tenants = MemoryTenantRegister(self.books)
        self.cache = RiggedCache(self.clock)
        self.passwords = FakePasswords()
        self.fakes = backends or (RiggedBackend(),)
        self.backend = self.fakes[0]
        self.live_calls = LiveCalls(self.clock, deadlines)
        self.signs = SignsOfLife(self.live_calls, self.clock)
        self.backends = Backends(self.fakes, self.signs)
        self.board = MemoryWedgeBoard(self.clock)
        self.watchdog = Watchdog(
            backends=self.backends,
            signs=self.signs,
            board=self.board,
            entropy=FakeEntropy("probes"),
            patience_s=deadlines.first_byte_s,
        )
        self.turns = MemoryTurns({b.name: b.most_in_flight for b in self.fakes}, depth=depth, wait_s=wait_s)
        self.observer = MemoryCallObserver()
        self.prompts = MemoryPromptJournal(self.books)
        self.hour_keys = MemoryHourKeys(self.clock.now)
        self.encryption = FakeEncryption()
        self.prompt_keys = PromptKeys(
            hour_keys=self.hour_keys, encryption=self.encryption, entropy=FakeEntropy("keys"), clock=self.clock
        )
        sealing = Sealing(keys=self.prompt_keys, encryption=self.encryption)
        self.prompt_log = PromptLog(journal=self.prompts, sealing=sealing, clock=self.clock)
        self.keep = Keep(self.prompt_log, self.clock)
        self.identify = Identify(
            register=self.register,
            cache=self.cache,
            passwords=self.passwords,
            clock=SharedTime(self.clock),
            peppers=[PEPPER],
            remember_s=remember_s,
        )
        self.admit = Admit(limits=self.limits, ledger=self.ledger)
        self.pipeline = Pipeline(
            identify=self.identify,
            admit=self.admit,
            limits=self.limits,
            ledger=self.ledger,
            journal=self.journal,
            backends=self.backends,
            turns=self.turns,
            live_calls=self.live_calls,
            watchdog=self.watchdog,
            clock=self.clock,
            caps=OutputCaps(default=64, most=128, unknown_context=4096),
            observer=self.observer,
            keep=self.keep,
        )
        self.look_up = LookUp(
            identify=self.identify, admit=self.admit, ledger=self.ledger, journal=self.journal, backends=self.backends
        )
        self.upkeep = Upkeep(
            live_calls=self.live_calls,
            limits=self.limits,
            turns=self.turns,
            backends=self.backends,
            watchdog=self.watchdog,
            identify=self.identify,
            slot_lease_s=30,
            poll_interval_s=5,
        )
        self._entropy = FakeEntropy()

    @classmethod
    async def of(
        cls,
        *backends: RiggedBackend,
        depth: int = 8,
        wait_s: float = 60,
        remember_s: float = 30,
        deadlines: Deadlines = DEADLINES,
    ) -> Rig:
        rig = cls(*backends, depth=depth, wait_s=wait_s, remember_s=remember_s, deadlines=deadlines)
        await rig.backends.survey_all()
        return rig

    async def client(
        self,
        tenant: str = "acme",
        *,
        policy: Policy = EVERYTHING,
        key_policy: Policy = EVERYTHING,
        expires_at: datetime | None = None,
    ) -> Client:
        """A tenant and a key of its own."""
        made = await self.tenants.add_tenant(tenant, actor="tests")
        if policy != EVERYTHING:
            made = await self.tenants.change_tenant_policy(tenant, to(policy), actor="tests")
        presented = mint(self._entropy.base62(8), self._entropy.base62(32), PEPPER)
        key = await self.tenants.add_key(
            tenant,
            name="key",
            prefix=presented.prefix,
            secret_hash=await self.passwords.hash(presented.secret),
            expires_at=expires_at,
            actor="tests",
        )
        self.passwords.runs = 0
        if key_policy != EVERYTHING:
            key = await self.tenants.change_key_policy(key.prefix, to(key_policy), actor="tests")
        return Client(made, key, presented)

    async def revoke(self, client: Client) -> None:
        """As the operator does: first the register, then all are told."""
        key = await self.tenants.revoke_key(client.key.prefix, actor="tests")
        await self.upkeep.taken_in(client.tenant.id, key.id, key.generation, Change.REVOKED)

    async def suspend(self, client: Client) -> None:
        tenant = await self.tenants.set_tenant_state(client.tenant.name, TenantState.SUSPENDED, actor="tests")
        await self.upkeep.taken_in(tenant.id, None, tenant.generation, Change.SUSPENDED)

    def present(self, credential: Secret | None, call: Call | Refusal) -> PresentedCall:
        async def read() -> Call:
            if isinstance(call, Refusal):
                raise call
            return call

        return PresentedCall(
            request_id=self._entropy.request_id(),
            route="/route",
            address="192.0.2.7",
            credential=credential,
            endpoint=Endpoint.NATIVE_CHAT if isinstance(call, Refusal) else call.endpoint,
            read=read,
        )

    def start(self, credential: Client | Secret | None, call: Call | Refusal | None = None) -> Served:
        secret = credential.secret if isinstance(credential, Client) else credential
        presented = self.present(secret, a_call() if call is None else call)
        reply = RecordingReply()
        return Served(presented.request_id, self.pipeline.start(presented, reply), reply)

    async def serve(self, credential: Client | Secret | None, call: Call | Refusal | None = None) -> Served:
        served = self.start(credential, call)
        await served.end()
        return served

    # -- what must hold -----------------------------------------------------------------------------------------------

    def settlement(self, served: Served) -> Settlement:
        """The one settlement of a call."""
        found = [one for one in self.ledger.settlements if one.request_id == served.request_id]
        assert len(found) == 1
        return found[0]

    def note(self, served: Served) -> Note:
        """The one note of a call."""
        found = [note for note in self.journal.notes if note.request_id == served.request_id]
        assert len(found) == 1
        return found[0]

    def releases(self, served: Served) -> list[Release]:
        return [one for one in self.limits.releases if one.request_id == served.request_id]

    def used(self, client: Client) -> int:
        """Tokens in the tenant's windows; the same in each."""
        rows = {level.used for (_, scope, *_), level in self.books.windows.items() if scope == client.tenant.id}
        assert len(rows) <= 1
        return rows.pop() if rows else 0

    def assert_nothing_is_left(self) -> None:
        """No call, turn, slot, hold or open answer; every client told in order; every call traced and paid once."""
        assert len(self.live_calls) == 0
        assert not any(self.turns.in_flight.values())
        assert not any(fake.open_answers for fake in self.fakes)
        assert not any(self.limits.slots_taken(tenant) for tenant in self.books.tenants)
        assert not any(level.held for level in self.books.windows.values())
        settled = [one.request_id for one in self.ledger.settlements]
        assert len(settled) == len(set(settled))
        released = [(one.request_id, one.attempt) for one in self.limits.releases]
        assert len(released) == len(set(released))

    def assert_refused(self, served: Served, code: str) -> None:
        """Refused before its tokens were held: told once, noted once, nothing charged."""
        reply = served.reply
        assert (reply.code, reply.body, reply.ended, reply.wrongs) == (code, b"", True, [])
        note = self.note(served)
        assert (note.event, note.code, note.status) == ("refused", code, reply.status)
        assert not any(level.used for level in self.books.windows.values())
        self.assert_nothing_is_left()

    def assert_settled(self, served: Served, *, outcome: str, code: str | None, tokens: int, noted: bool) -> None:
        """Ended after its tokens were held: settled once, released once with the rest."""
        settlement = self.settlement(served)
        assert (settlement.outcome, settlement.code, settlement.charge.tokens) == (outcome, code, tokens)
        assert (settlement.status, settlement.bytes_out) == (served.reply.status, served.reply.bytes_out)
        assert [one.refund_tokens for one in self.releases(served)] == [HOLD - tokens]
        unsent = not any(call.request_id == served.request_id for fake in self.fakes for call in fake.calls)
        refused = outcome == Outcome.NOT_SENT or (unsent and outcome != Outcome.HUNG_UP)
        assert self.releases(served)[0].refund_call is refused
        assert bool([note for note in self.journal.notes if note.request_id == served.request_id]) is noted
        assert served.reply.wrongs == []
        self.assert_nothing_is_left()


def scene(form: Form, count: int, **more: Any) -> Scene:
    return Scene(pieces=pieces(form, count), **more)
