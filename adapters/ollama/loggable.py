"""What the log may hold of a backend's own words.

A backend that fails may repeat what a caller sent: Ollama puts a `format` that it cannot use into its error, and names
into others (v0.33 `server/routes.go`, `server/sched.go`); a hostile one repeats whole prompts. Prompts are never
logged. So of such a text only the parts pass that are made of fixed words and short numbers: Ollama's own failures
(`llm/status.go`, `llm/server.go`, `server/sched.go`), those of the drivers and the system below it, and HTTP's.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from itertools import islice
from typing import Final

WITHHELD: Final = "withheld"
_MOST_READ: Final = 4096
_MOST_PARTS: Final = 4

_SIZE: Final = r"\d{1,5}(?:\.\d{1,3})? ?[KMGT]?i?B"
_DEVICE: Final = r"(?:CUDA|ROCm|HIP|Metal|Vulkan|SYCL|MUSA|CPU)"
_RUNNER: Final = r"(?:llama runner|llama-server|llama server|model runner)"
_FORMS: Final = (
    # the runner's life
    rf"{_RUNNER}(?: process)? (?:has terminated|has unexpectedly stopped|exited|no longer running|is not responding)",
    rf"timed out waiting for (?:{_RUNNER}|server) to start(?: - progress \d\.\d\d)?",
    r"an error was encountered while running the model",
    r"exit status (?:0x[0-9a-f]{1,8}|-?\d{1,5})",
    r"signal: (?:killed|aborted|terminated|segmentation fault|bus error|illegal instruction)(?: \(core dumped\))?",
    r"(?:unable|failed) to load model|error loading model(?: architecture| vocabulary| hyperparameters)?",
    r"unknown model architecture|unsupported model (?:format|architecture)|GGML_ASSERT|failed to decode",
    r"no slots available|llm server (?:loading model|not responding|error)",
    r"unexpected server status|panic: runtime error",
    # memory and drivers
    rf"model requires more (?:system|GPU) memory(?: \({_SIZE}\))? than is available(?: \({_SIZE}\))?",
    rf"{_DEVICE} error(?:: (?:out of memory|invalid device function|an illegal memory access was encountered))?",
    rf"unable to allocate {_DEVICE}\d{{0,2}} buffer|(?:cuda|hip)Malloc failed|out of memory|insufficient memory",
    # the system and the network
    r"no space left on device|permission denied|no such file or directory|too many open files|cannot allocate memory",
    r"unexpected EOF|connection (?:refused|reset by peer)|broken pipe|i/o timeout|no such host",
    r"context (?:deadline exceeded|canceled)|certificate (?:has expired|signed by unknown authority)",
    # the request
    r"server busy, please try again|maximum pending requests exceeded|not found, try pulling it first|not found",
    r"does not support (?:tools|thinking|vision|chat|generate|insert|completion|embeddings|images?)",
    r"must be of type (?:float32|float64|int|integer|bool|boolean|string|array)",
    r"invalid (?:format|options|image input)|failed to (?:load|parse) grammar",
    r"exceeds the (?:available )?context (?:length|size)",
    # what HTTP calls it, and the boxes in between
    *sorted(re.escape(status.phrase) for status in HTTPStatus if status >= HTTPStatus.BAD_REQUEST),
)
_TELLING: Final = re.compile(rf"(?<!\w)(?:{'|'.join(_FORMS)})(?!\w)", re.ASCII | re.IGNORECASE)
_TYPES: Final = frozenset({
    "", "application/json", "application/octet-stream", "application/problem+json", "application/x-ndjson", "text/html",
    "text/event-stream", "text/plain",
})  # fmt: skip


def loggable(said: str) -> str:
    """The known parts of an error text, as they stand there; `WITHHELD` when there are none."""
    parts = (part[0] for part in _TELLING.finditer(said[:_MOST_READ]))
    return "; ".join(islice(dict.fromkeys(parts), _MOST_PARTS)) or WITHHELD


def loggable_type(content_type: str) -> str:
    """A media type that a server or a box before it is likely to send by mistake; `WITHHELD` when it is none."""
    return content_type if content_type in _TYPES else WITHHELD
