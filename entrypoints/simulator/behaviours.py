"""What a backend may do wrong, as values.

A `Behaviour` describes one answer; a `Script` says which requests get it. All delays are in seconds, all sizes in
bytes, all positions in objects (one native line, one SSE event) counted from the start of the answer. The default
of every field is what a healthy Ollama does, so a behaviour names only its oddities.

The oddities are those seen on real servers: an answer that ends cleanly without its final object (Ollama's repeat
guard, `llm/server.go`), a failure swallowed by the OpenAI layer (`middleware/openai.go` writes a chunk whose model is
empty), a killed process, missing or absurd counts, lines of megabytes, and those of the boxes that people put in
front of it (redirects, HTML, compression).
"""

import enum
import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Self

import attrs
import msgspec

FOR_EVER_S = -1.0


class Ending(enum.StrEnum):
    """How an answer ends."""

    WHOLE = "whole"
    RESET = "reset"  # TCP reset in mid-answer
    CLOSE = "close"  # orderly TCP close without HTTP's last chunk, as when the server is killed
    MISSING_DONE = "missing-done"  # HTTP ends properly, the protocol does not: the repeat guard
    FAILURE = "failure"  # native: an error line; OpenAI: the swallowed failure, a chunk with `"model":""`
    GARBAGE = "garbage"  # a line that is no JSON, then HTTP's proper end


class Counts(enum.StrEnum):
    """What the final object says about tokens."""

    TRUE = "true"
    ABSENT = "absent"  # no usage at all
    NO_PROMPT = "no-prompt"  # prompt count omitted (native) or zero (OpenAI)
    NO_OUTPUT = "no-output"  # output count omitted (native) or zero (OpenAI)
    NEGATIVE = "negative"
    HUGE = "huge"  # 10**12
    TEXT = "text"  # numbers as JSON strings


_LIES: Mapping[Counts, int | str] = {Counts.NEGATIVE: -5, Counts.HUGE: 10**12, Counts.TEXT: "12"}


def told(counts: Counts, prompt_tokens: int, output_tokens: int) -> tuple[int | str, int | str]:
    """Return the two counts that the answer states, where the truth is `prompt_tokens` and `output_tokens`."""
    if counts in _LIES:
        return _LIES[counts], _LIES[counts]
    hidden = counts is Counts.ABSENT
    return (
        0 if hidden or counts is Counts.NO_PROMPT else prompt_tokens,
        0 if hidden or counts is Counts.NO_OUTPUT else output_tokens,
    )


def _no_negative(_: object, attribute: "attrs.Attribute[Any]", value: float | None) -> None:
    if value is not None and value < 0:
        raise ValueError(f"{attribute.name} must not be negative, got {value}")


def _positive_sizes(_: object, attribute: "attrs.Attribute[Any]", value: tuple[int, ...]) -> None:
    if any(size < 1 for size in value):
        raise ValueError(f"{attribute.name} must be positive, got {value}")


@attrs.frozen(kw_only=True)
class Behaviour:
    """One answer's oddities.

    Args:
        write_bytes: sizes of the successive TCP writes, the last one repeating; `(1,)` writes byte by byte. Cuts fall
            anywhere, also inside a UTF-8 character. Empty: one write per object.
        coalesce_objects: how many objects share one write.
        headers_trickle_s: the response head is sent byte by byte over this time.
        first_byte_delay_s: silence before the head; generation holds its slot meanwhile.
        stall_after_objects: after so many objects the stream falls silent; None never.
        stall_s: for how long; `FOR_EVER_S` (-1) until the client leaves.
        ending: how the answer ends.
        end_after_objects: a bad ending strikes after so many objects; None where the final object would stand.
        endless: generation ignores every cap.
        tokens: natural length of this answer in tokens; None as configured.
        counts: truth or lie of the usage.
        huge_line_bytes: the first object carries that many bytes of text.
        status: HTTP status; other than 200 there is no generation.
        body: replaces the whole body; None as it comes (for an error status: an error in the path's dialect).
        content_type: replaces the Content-Type.
        gzip: compresses the body and says so in Content-Encoding.
        redirect_to: answers 307 to that Location.
        echo_header: the value received for this header becomes the first text of the answer (or of the error).
        lose_slot: a hang-up while generating never gives the slot back (Ollama issue #17131).
        replay: name of a recording to answer with.
        replay_timed: keep the recorded pauses.
    """

    write_bytes: tuple[int, ...] = attrs.field(default=(), validator=_positive_sizes)
    coalesce_objects: int = attrs.field(default=1, validator=attrs.validators.ge(1))
    headers_trickle_s: float = attrs.field(default=0.0, validator=_no_negative)
    first_byte_delay_s: float = attrs.field(default=0.0, validator=_no_negative)
    stall_after_objects: int | None = attrs.field(default=None, validator=_no_negative)
    stall_s: float = FOR_EVER_S
    ending: Ending = Ending.WHOLE
    end_after_objects: int | None = attrs.field(default=None, validator=_no_negative)
    endless: bool = False
    tokens: int | None = attrs.field(default=None, validator=_no_negative)
    counts: Counts = Counts.TRUE
    huge_line_bytes: int = attrs.field(default=0, validator=_no_negative)
    status: int = 200
    body: str | None = None
    content_type: str | None = None
    gzip: bool = False
    redirect_to: str | None = None
    echo_header: str | None = None
    lose_slot: bool = False
    replay: str | None = None
    replay_timed: bool = False

    @property
    def replaces_the_answer(self) -> bool:
        """Whether nothing is generated at all."""
        return bool(self.replay or self.redirect_to or self.status != HTTPStatus.OK or self.body is not None)

    def oddities(self) -> dict[str, Any]:
        """Return the fields that differ from a healthy server, for the log and the wire."""
        return {
            field.name: getattr(self, field.name)
            for field in attrs.fields(type(self))
            if getattr(self, field.name) != field.default
        }


HEALTHY = Behaviour()


@attrs.frozen(kw_only=True)
class Script:
    """A behaviour and the requests it is for.

    Args:
        behaviour: what to do.
        model: only requests that spell this model; None any.
        path: only requests to this path; None any inference path, but no reads such as `/api/tags`.
        times: for so many matching requests; None until cleared.
    """

    behaviour: Behaviour
    model: str | None = None
    path: str | None = None
    times: int | None = attrs.field(default=None, validator=attrs.validators.optional(attrs.validators.ge(1)))

    def fits(self, *, path: str, model: str, is_inference: bool) -> bool:
        """Say whether a request is one of those the script is for."""
        if self.path is not None and self.path != path:
            return False
        if self.path is None and not is_inference:
            return False
        return self.model is None or self.model == model

    @classmethod
    def from_json(cls, body: bytes) -> Self:
        """Read a script; unknown names and impossible values raise ValueError."""
        raw = json.loads(body)
        if not isinstance(raw, dict):
            raise ValueError("a script is an object")  # noqa: TRY004 -- whoever posts nonsense gets one kind of error
        _no_unknown_names(cls, raw)
        _no_unknown_names(Behaviour, raw.get("behaviour", {}))
        try:
            script = msgspec.convert(raw, cls)
        except msgspec.ValidationError as wrong:
            raise ValueError(str(wrong)) from wrong
        attrs.validate(script)
        attrs.validate(script.behaviour)
        return script


def _no_unknown_names(cls: type[attrs.AttrsInstance], raw: Mapping[str, object]) -> None:
    if unknown := set(raw) - {field.name for field in attrs.fields(cls)}:
        raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
