"""What can only be said of several settings: which contradict each other, and how a missing one is come by."""

from __future__ import annotations

from collections.abc import Sequence

from entrypoints.settings_checks import HOW_TO_MAKE_A_PEPPER

_NEVER_ABOVE = (
    ("default_output_tokens", "max_output_tokens"),
    ("process_beat_s", "process_dead_after_s"),
    ("first_byte_timeout_s", "call_timeout_s"),
    ("idle_timeout_s", "call_timeout_s"),
)
_KEEP_IT = "keep it as you keep passwords, and give the same to every gateway"

REMEDIES = {
    "DATABASE_URL": "set it to postgresql://user:password@host:5432/name, or run `neuronetz-gateway quickstart`, "
    "which brings its own database",
    "REDIS_URL": "set it to redis://host:6379/0, or run `neuronetz-gateway quickstart`, which brings its own store",
    "KEY_PEPPER": f"{HOW_TO_MAKE_A_PEPPER}, {_KEEP_IT}",
    "PROMPT_LOG_KEY": f"prompts are encrypted with what is made from it, so {HOW_TO_MAKE_A_PEPPER}, {_KEEP_IT}",
    "AUDIT_SEAL_KEY": f"the audit is sealed with what is made from it, so {HOW_TO_MAKE_A_PEPPER}, {_KEEP_IT}",
    "OLLAMA_BACKENDS": "it lists no backend, so add one with `neuronetz-gateway add-backend NAME URL`",
}
"""What to do about a variable that is not set."""


def contradictions(settings: object) -> Sequence[str]:
    """What is wrong between settings that are each right."""
    return [
        f"{low.upper()} is {getattr(settings, low):g} and must not be above {high.upper()}, "
        f"which is {getattr(settings, high):g}: lower the one or raise the other."
        for low, high in _NEVER_ABOVE
        if getattr(settings, low) > getattr(settings, high)
    ]
