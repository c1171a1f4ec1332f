"""Embeddings without a model: unit vectors drawn from a hash of the text, so equal texts have equal vectors."""

import base64
import hashlib
import math
import struct
from collections.abc import Sequence

_STEPS = 2**32


def vector(text: str, *, dimension: int) -> list[float]:
    """Return a unit vector of that many numbers, each with the precision of a 32-bit float."""
    octets = hashlib.shake_256(text.encode("utf-8", "replace")).digest(4 * dimension)
    raw = [(2 * whole + 1) / _STEPS - 1 for whole in struct.unpack(f"<{dimension}I", octets)]
    norm = math.sqrt(sum(number * number for number in raw))
    return [round(number / norm, 8) for number in raw]


def as_base64(numbers: Sequence[float]) -> str:
    """Return the numbers as little-endian 32-bit floats in base64, OpenAI's other encoding."""
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
