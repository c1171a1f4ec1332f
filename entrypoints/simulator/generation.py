"""Generation without a model: a slot, the prompt's time, then one token after the other.

    load queue -> slot -> prompt -> tokens -> final object -> slot back

The dialects say what an object looks like (`Voice`); this module says when it is sent, what the log states, and what
happens when the client leaves (Ollama 0.24.0, observed): waiting ends at once; generation ends at the next token;
prompt evaluation frees the slot but keeps the runner busy for the rest of the prompt's time.
No byte leaves before the first token, so that a caller's wait for the head covers queue, load and prompt.
"""

import asyncio
import time
from collections.abc import Iterator
from itertools import chain, islice

import attrs
from aiohttp import web

from entrypoints.simulator import words
from entrypoints.simulator.behaviours import HEALTHY, Counts, Ending, told
from entrypoints.simulator.exchange import Exchange
from entrypoints.simulator.log import Ended
from entrypoints.simulator.pipe import Pipe
from entrypoints.simulator.refusal import Refused
from entrypoints.simulator.runners import Runner
from entrypoints.simulator.voice import RUNNER_DIED, Ask, Outcome, Voice
from entrypoints.simulator.words import Kind, Piece

TOOL_CALL_TOKENS = 12
_GARBAGE = b"<html><body>502 Bad Gateway</body></html>\n"
_CUT_ENDINGS = frozenset({Ending.RESET, Ending.CLOSE})


@attrs.define
class _Stopwatch:
    started_ns: int = attrs.field(factory=time.monotonic_ns)
    loaded_ns: int = 0
    prompted_ns: int = 0


@attrs.frozen(kw_only=True)
class _Run:
    """A generation under way."""

    exchange: Exchange
    ask: Ask
    voice: Voice
    watch: _Stopwatch
    pieces: Iterator[Piece]
    reason: str

    async def next_token(self, piece: Piece) -> None:
        """Take the time of a piece, then log it; always yields, so that a hang-up is noticed."""
        exchange = self.exchange
        await asyncio.sleep(exchange.world.settings.token_delay_s * piece.tokens)
        exchange.world.log.produced(exchange.entry, exchange.entry.output_tokens + piece.tokens)

    def outcome(self) -> Outcome:
        """Sum up, truthfully or as the behaviour has it."""
        watch, entry, counts = self.watch, self.exchange.entry, self.exchange.behaviour.counts
        prompt_tokens, output_tokens = told(counts, entry.prompt_tokens, entry.output_tokens)
        now_ns = time.monotonic_ns()
        return Outcome(
            reason=self.reason,
            prompt_tokens=prompt_tokens,
            output_tokens=output_tokens,
            hides_counts=counts is Counts.ABSENT,
            called_a_tool=self.ask.tool is not None,
            total_ns=now_ns - watch.started_ns,
            load_ns=watch.loaded_ns - watch.started_ns,
            prompt_ns=watch.prompted_ns - watch.loaded_ns,
            output_ns=now_ns - watch.prompted_ns,
        )


async def generate(exchange: Exchange, ask: Ask, voice: Voice) -> web.StreamResponse:
    """Answer with generated tokens, streamed or whole."""
    runners, entry, watch = exchange.world.runners, exchange.entry, _Stopwatch()
    pieces, reason = _plan(exchange, ask)
    run = _Run(exchange=exchange, ask=ask, voice=voice, watch=watch, pieces=pieces, reason=reason)
    runner = await runners.enter(ask.model, context=ask.context, keep_alive_s=ask.keep_alive_s, entry=entry)
    watch.loaded_ns = time.monotonic_ns()
    lose_slot = False
    try:
        await _evaluate_prompt(exchange, runner, ask.prompt_tokens)
        watch.prompted_ns = time.monotonic_ns()
        entry.phase = "generating"
        entry.status = 200
        if exchange.behaviour is HEALTHY:
            return await (_stream(run) if ask.stream else _whole(run))
        return await (_stream_scripted(run) if ask.stream else _whole_scripted(run))
    except (asyncio.CancelledError, ConnectionError):
        costly = exchange.behaviour.lose_slot or (exchange.world.settings.resets_cost_slots and exchange.was_reset)
        lose_slot = costly and entry.phase == "generating"
        raise
    finally:
        runners.leave(runner, lose_slot=lose_slot)


async def _evaluate_prompt(exchange: Exchange, runner: Runner, prompt_tokens: int) -> None:
    cost_s = exchange.world.settings.prompt_delay_s_per_token * prompt_tokens
    now = asyncio.get_running_loop().time()
    if cost_s or runner.abandoned_until > now:
        exchange.entry.phase = "prompt"
        await asyncio.sleep(runner.abandoned_until - now)
        exchange.world.log.evaluated(exchange.entry, prompt_tokens)
        done_at = asyncio.get_running_loop().time() + cost_s
        try:
            await asyncio.sleep(cost_s)
        except asyncio.CancelledError:
            runner.abandoned_until = max(runner.abandoned_until, done_at)
            raise
    else:
        exchange.world.log.evaluated(exchange.entry, prompt_tokens)


def _plan(exchange: Exchange, ask: Ask) -> tuple[Iterator[Piece], str]:
    """Return the pieces of the answer, and its `done_reason`."""
    behaviour = exchange.behaviour
    if behaviour.endless:
        return words.endless(), "length"
    natural = behaviour.tokens
    if natural is None:
        natural = exchange.world.settings.tokens if ask.model.natural_tokens is None else ask.model.natural_tokens
    capped = ask.cap is not None and 0 < ask.cap <= natural
    limit = ask.cap if capped and ask.cap is not None else natural
    if ask.tool is not None:
        tokens = TOOL_CALL_TOKENS if not ask.cap or ask.cap < 1 else min(ask.cap, TOOL_CALL_TOKENS)
        return iter((Piece(Kind.TOOL_CALL, ask.tool[0], tokens, ask.tool[1]),)), "stop"
    thinking = natural // 3 if ask.thinks else 0
    text = words.json_answer(natural - thinking) if ask.as_json else words.answer(natural - thinking)
    pieces = chain(_oddities(exchange), words.thought(thinking), text)
    return islice(pieces, limit), "length" if capped else "stop"


def _oddities(exchange: Exchange) -> Iterator[Piece]:
    if name := exchange.behaviour.echo_header:
        yield Piece(Kind.CONTENT, exchange.request.headers.get(name, ""))
    if size := exchange.behaviour.huge_line_bytes:
        yield Piece(Kind.CONTENT, "x" * size)


async def _stream(run: _Run) -> web.StreamResponse:
    exchange, voice = run.exchange, run.voice
    response = web.StreamResponse(headers={"Content-Type": voice.stream_type})
    response.enable_chunked_encoding()
    for piece in run.pieces:
        await run.next_token(piece)
        if not response.prepared:
            await response.prepare(exchange.request)
        await response.write(voice.piece(piece))
    exchange.entry.phase = "sending"
    if not response.prepared:
        await response.prepare(exchange.request)
    await response.write_eof(voice.final(run.outcome()))
    exchange.end(Ended.DONE)
    return response


async def _whole(run: _Run) -> web.StreamResponse:
    pieces = await _all_at_once(run) if not run.exchange.world.settings.token_delay_s else await _one_by_one(run)
    body = run.voice.whole(pieces, run.outcome())
    return await run.exchange.reply(200, run.voice.plain_type, body, ended=Ended.DONE)


async def _one_by_one(run: _Run) -> list[Piece]:
    pieces = []
    for piece in run.pieces:
        await run.next_token(piece)
        pieces.append(piece)
    return pieces


async def _all_at_once(run: _Run) -> list[Piece]:
    """Spare a benchmark the turns of the loop that nobody could observe."""
    pieces = list(run.pieces)
    await asyncio.sleep(0)
    run.exchange.world.log.produced(run.exchange.entry, sum(piece.tokens for piece in pieces))
    return pieces


async def _stream_scripted(run: _Run) -> web.StreamResponse:
    behaviour, voice = run.exchange.behaviour, run.voice
    pipe = Pipe(run.exchange.request, behaviour)
    bundle = _Bundle(pipe, voice.stream_type, behaviour.coalesce_objects)
    for piece in run.pieces:
        if bundle.objects == behaviour.stall_after_objects:
            await bundle.flush()
            await _stall(behaviour.stall_s)
        if behaviour.ending is not Ending.WHOLE and bundle.objects == behaviour.end_after_objects:
            return await _end_badly(run, pipe, bundle)
        await run.next_token(piece)
        await bundle.add(voice.piece(piece))
    if bundle.objects == behaviour.stall_after_objects:
        await bundle.flush()
        await _stall(behaviour.stall_s)
    if behaviour.ending is not Ending.WHOLE:
        return await _end_badly(run, pipe, bundle)
    run.exchange.entry.phase = "sending"
    await bundle.add(voice.final(run.outcome()))
    await bundle.flush()
    await pipe.finish()
    run.exchange.end(Ended.DONE)
    return pipe.response


@attrs.define
class _Bundle:
    """Objects gathered for one write."""

    pipe: Pipe
    content_type: str
    size: int
    objects: int = 0
    _waiting: list[bytes] = attrs.field(factory=list)
    _opened: bool = False

    async def add(self, octets: bytes) -> None:
        """Add an object; a full bundle is sent."""
        self.objects += 1
        self._waiting.append(octets)
        if len(self._waiting) >= self.size:
            await self.flush()

    async def flush(self) -> None:
        """Send what has been gathered, after the head if that has not been sent."""
        if not self._opened:
            await self.pipe.open(200, self.content_type)
            self._opened = True
        if self._waiting:
            octets = b"".join(self._waiting)
            self._waiting.clear()
            await self.pipe.write(octets)


async def _end_badly(run: _Run, pipe: Pipe, bundle: _Bundle) -> web.StreamResponse:
    ending = run.exchange.behaviour.ending
    if ending is Ending.FAILURE:
        await bundle.add(run.voice.failure())
    elif ending is Ending.GARBAGE:
        await bundle.add(_GARBAGE)
    await bundle.flush()
    await _cut_or_finish(pipe, ending)
    run.exchange.end(Ended.SCRIPTED)
    return pipe.response


async def _whole_scripted(run: _Run) -> web.StreamResponse:
    exchange, ending = run.exchange, run.exchange.behaviour.ending
    pieces: list[Piece] = []
    for piece in run.pieces:
        if len(pieces) == exchange.behaviour.stall_after_objects:
            await _stall(exchange.behaviour.stall_s)
        if ending is not Ending.WHOLE and len(pieces) == exchange.behaviour.end_after_objects:
            break
        await run.next_token(piece)
        pieces.append(piece)
    if ending is Ending.FAILURE:
        raise Refused(500, RUNNER_DIED)
    body = run.voice.whole(pieces, None if ending is Ending.MISSING_DONE else run.outcome())
    if ending in {Ending.WHOLE, Ending.MISSING_DONE}:
        ended = Ended.DONE if ending is Ending.WHOLE else Ended.SCRIPTED
        return await exchange.reply(200, run.voice.plain_type, body, ended=ended)
    if ending is Ending.GARBAGE:
        return await exchange.reply(200, run.voice.plain_type, _GARBAGE, ended=Ended.SCRIPTED)
    pipe = Pipe(exchange.request, exchange.behaviour)
    await pipe.open(200, run.voice.plain_type, length=len(body))
    await pipe.write(body[: len(body) // 2])
    await _cut_or_finish(pipe, ending)
    exchange.end(Ended.SCRIPTED)
    return pipe.response


async def _cut_or_finish(pipe: Pipe, ending: Ending) -> None:
    if ending not in _CUT_ENDINGS:
        await pipe.finish()
    elif ending is Ending.RESET:
        await pipe.reset()
    else:
        await pipe.close()


async def _stall(stall_s: float) -> None:
    if stall_s < 0:
        await asyncio.Event().wait()
    await asyncio.sleep(stall_s)
