"""The simulator's tokenizer: arithmetic that anybody can repeat.

A text costs a quarter of its UTF-8 bytes, rounded up. A message costs its text plus 4 (roles and separators), a prompt
costs its messages plus the overhead of the model's template. Declared tools are in the prompt as compact JSON. Real
tokenizers average about four bytes a token on English; what matters more here is the bound that the gateway's
reservations rest on, and that a test proves:

    prompt tokens <= UTF-8 bytes of all text + 16 per message

It holds because a quarter rounded up is never more than the whole, and because overheads are at most 4 + 12.
What is fed is at most the context: Ollama cuts longer prompts silently (`server/prompt.go`).
"""

from collections.abc import Iterable

BYTES_PER_TOKEN = 4
TOKENS_PER_MESSAGE = 4
MAX_TEMPLATE_TOKENS = 12


def of_text(text: str) -> int:
    """Return the tokens of bare text."""
    size = len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
    return -(-size // BYTES_PER_TOKEN)


def of_prompt(texts: Iterable[str], *, template_tokens: int, tools_json: str = "", context: int) -> int:
    """Return the tokens of a prompt made of one text per message, as fed: never more than `context` tokens."""
    total = template_tokens + of_text(tools_json)
    for text in texts:
        total += of_text(text) + TOKENS_PER_MESSAGE
    return min(total, context)
