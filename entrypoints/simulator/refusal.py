"""An error answer in no dialect yet; each dialect renders it (`native.refuse`, `openai.refuse`)."""

import enum


class Stage(enum.Enum):
    """How far the request had come; Ollama's Content-Type and trailing newline depend on it."""

    DECODING = enum.auto()
    CHECKING = enum.auto()
    STREAMING = enum.auto()


class Refused(Exception):
    """The request gets an error status.

    Args:
        status: HTTP status.
        message: the text that Ollama has for it.
        stage: see `Stage`.
    """

    def __init__(self, status: int, message: str, stage: Stage = Stage.CHECKING) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.stage = stage
