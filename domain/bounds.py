"""How large a call can become: P for the prompt, M for the output, R = P + M for the hold.

P is a bound, not an estimate. A byte-level tokenizer emits at most one token per byte, and no prompt is longer than
the model's context, so P = min(context, bytes of text + slack). Images have no byte bound: they count the context.
M always goes upstream as a positive cap; without one Ollama generates up to ten contexts
(`llm/llama_server.go`, v0.33).
"""

from __future__ import annotations

import attrs

from domain.calls import Bounds, Call
from domain.limits import Limits, tightest
from domain.models import Model
from domain.refusals import Code, Refusal

SLACK_PER_PIECE = 16
"""Tokens that a template puts around one message or tool: role, separators."""
TWO_RUNS_FACTOR = 3
"""How often M is used by a thinking model that must answer in a format. Ollama lets it think without the format, and
then run again with its thoughts in the prompt (`server/routes.go`, v0.33): M of thoughts, the same M read again, and
M of answer.
"""


@attrs.frozen(kw_only=True)
class OutputCaps:
    """The operator's caps on output, in tokens."""

    default: int
    """For calls that give none."""
    most: int
    """For calls that ask for more."""
    unknown_context: int
    """Assumed context length of a model whose own is not known; bounds prompts with images."""


def bounds_of(call: Call, model: Model, caps: OutputCaps, *limits: Limits) -> Bounds:
    """P and M of a call.

    A token-per-minute limit smaller than P + M lowers M rather than refusing: the answer is then cut short, with
    its reason, as with any other cap.

    Raises:
        Refusal: `request_exceeds_tpm` when the prompt alone can never fit in a minute.
    """
    prompt = _prompt_bound(call, model, caps.unknown_context)
    tpm = tightest(*(limit.tpm for limit in limits))
    least_output = 1 if call.endpoint.generates else 0
    may_think = "thinking" in model.capabilities or not model.capabilities
    twice = call.structured and call.thinks and may_think
    factor = TWO_RUNS_FACTOR if twice else 1
    if tpm is not None and prompt + factor * least_output > tpm:
        raise Refusal(
            Code.REQUEST_EXCEEDS_TPM,
            f"This request can use up to {prompt} prompt tokens and never fits under the limit of {tpm} tokens "
            "per minute. Shorten it, or ask for a higher limit.",
        )
    if not call.endpoint.generates:
        return Bounds(prompt=prompt, output=0)
    output = min(call.asked_output_tokens or caps.default, caps.most)
    if tpm is not None:
        output = min(output, (tpm - prompt) // factor)
    return Bounds(prompt=prompt, output=output, output_factor=factor)


def _prompt_bound(call: Call, model: Model, unknown_context: int) -> int:
    context = model.context_length
    if call.images:
        return context or max(unknown_context, model.least_context)
    slack = SLACK_PER_PIECE * call.pieces + model.template_bytes
    bounds = (size + slack for size in call.inputs_bytes)
    return sum(bounds) if context is None else sum(min(context, bound) for bound in bounds)
