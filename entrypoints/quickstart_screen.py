"""What the person at the terminal sees of a quickstart: its steps, one real answer, and lines to copy."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

import httpx
import msgspec
from rich.console import Console
from rich.markup import escape

from domain.keys import Secret

_ANSWER_S = 120.0
_QUESTION = "Say hello in one short sentence."


class NoAnswer(Exception):
    """The gateway serves, and the model did not answer; says why."""


class Screen:
    """What the person at the terminal sees."""

    def __init__(self) -> None:
        self.console = Console(highlight=False)

    def step(self, sentence: str) -> None:
        """Something is done."""
        self.console.print(f"[green]✓[/] {escape(sentence)}")

    def detail(self, sentence: str) -> None:
        """Something goes on."""
        self.console.print(f"  [dim]{escape(sentence)}[/]")

    def warn(self, sentence: str) -> None:
        """Something is not as one would wish."""
        self.console.print(f"[yellow]![/] {escape(sentence)}")

    def piece(self, text: str) -> None:
        """A piece of an answer, as it comes."""
        self.console.print(escape(text), end="", soft_wrap=True)

    def line(self, text: str = "") -> None:
        """Plain text, never wrapped: it is meant to be copied."""
        self.console.print(text, markup=False, soft_wrap=True)


async def show_answer(base_url: str, key: Secret, screen: Screen) -> str | None:
    """Asks a model through the gateway, as any client would, and shows the answer as it comes. Says which model.

    Raises:
        NoAnswer: the model did not answer, or not to the end.
    """
    headers = {"Authorization": f"Bearer {key.unwrap()}"}
    async with httpx.AsyncClient(base_url=base_url, headers=headers, timeout=_ANSWER_S, trust_env=False) as client:
        model = _chat_model((await client.get("/api/tags")).raise_for_status().json()["models"])
        if model is None:
            screen.warn("No model to ask yet: pull one with `ollama pull llama3.2`.")
            return None
        screen.step(f"{model} answers through the gateway:")
        screen.piece("\n    ")
        await _ask(client, model, screen)
        screen.line("\n")
        return model


async def _ask(client: httpx.AsyncClient, model: str, screen: Screen) -> None:
    body = {"model": model, "messages": [{"role": "user", "content": _QUESTION}], "options": {"num_predict": 64}}
    async with client.stream("POST", "/api/chat", json=body) as response:
        if response.is_error:
            await response.aread()
            raise NoAnswer(f"The model did not answer: {response.json().get('error', response.status_code)}")
        async for line in response.aiter_lines():
            screen.piece(_said(line))


def _said(line: str) -> str:
    record = msgspec.json.decode(line)
    if "error" in record:
        raise NoAnswer(f"The answer broke off: {record['error']}")
    message = record.get("message", {})
    return str(message.get("content", "") or message.get("thinking", ""))


def _chat_model(models: list[dict[str, Any]]) -> str | None:
    """The first model that can chat, loaded or not; models that only embed come last."""

    def chats(model: dict[str, Any]) -> bool:
        capabilities = model.get("capabilities")
        return "completion" in capabilities if capabilities else "bert" not in model["details"].get("family", "")

    return next((str(model["name"]) for model in models if chats(model)), None)


def show_lines(base_url: str, key: Secret | None, model: str | None, usage: Sequence[str], screen: Screen) -> None:
    """Lines to copy; without the key when only its holder knows it.

    Args:
        base_url: of the gateway.
        key: the caller's.
        model: to name in them.
        usage: the command that shows what was used.
        screen: where to.
    """
    shown, named = "$NEURONETZ_KEY" if key is None else key.unwrap(), model or "MODEL"
    messages = '"messages": [{"role": "user", "content": "Hello"}]'
    screen.line("Try it, in Ollama's own dialect and in OpenAI's:\n")
    for path, extra in (("/api/chat", ""), ("/v1/chat/completions", ', "stream": true')):
        screen.line(f"  curl -N {base_url}{path} \\")
        screen.line(f'    -H "Authorization: Bearer {shown}" \\')
        screen.line(f'    -d \'{{"model": "{named}", {messages}{extra}}}\'\n')
    screen.line(f"For an OpenAI client: base URL {base_url}/v1 and the key. To see what was used:")
    screen.line(f"  {shlex.join(usage)}")
