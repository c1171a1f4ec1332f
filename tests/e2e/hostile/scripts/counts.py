"""Backends that lie about tokens."""

from __future__ import annotations

from tests.e2e.hostile.scripts.table import ANSWERED, FAILED, MALFORMED, Ends, first, said


def counted(name: str, streamed: Ends, whole: Ends, *, prompt: str, output: str) -> None:
    """Puts a script into the table that ends with those counts."""
    said(
        f"counts-{name}", streamed, whole,
        lambda talk: first(talk) + talk.voice.last(talk.model, prompt=prompt, output=output),
    )  # fmt: skip


counted("null", ANSWERED, ANSWERED, prompt="null", output="null")
counted("zero", ANSWERED, ANSWERED, prompt="0", output="0")
counted("negative", ANSWERED, ANSWERED, prompt="-7", output="-2")
counted("huge", ANSWERED, ANSWERED, prompt="7", output="99999999")
counted("beyond-64-bits", ANSWERED, ANSWERED, prompt="7", output="9" * 30)
counted("a-string", ANSWERED, ANSWERED, prompt='"7"', output='"2"')
counted("true", ANSWERED, ANSWERED, prompt="true", output="true")
counted("a-float", ANSWERED, ANSWERED, prompt="7.5", output="2.5")
counted("an-object", ANSWERED, ANSWERED, prompt="{}", output="[]")
counted("a-huge-float", ANSWERED, ANSWERED, prompt="1e300", output="1e300")
counted("not-a-number", MALFORMED, FAILED, prompt="NaN", output="NaN")
counted("beyond-floats", MALFORMED, FAILED, prompt="1e999", output="1e999")
counted("of-5000-digits", MALFORMED, FAILED, prompt="9" * 5000, output="9" * 5000)
