"""Native streams: one JSON object a line, the last one with `"done":true`.

The usual line is recognised by its fixed parts, which costs less than a microsecond::

    {"model":"m","created_at":"2026-...","message":{"role":"assistant","content":"text"},"done":false}
    +---- head -----------------+     +--------------- mark ---------------------+    +---- tail -----+

It is usual only if head, mark and tail all fit and the text holds no quote; any other line is decoded. So the short
way decides nothing that the long way would decide otherwise, which a test checks on every recording.
"""

from __future__ import annotations

from typing import Final

from adapters.ollama import objects, rewrites
from adapters.ollama.lines import LineDecoder
from adapters.ollama.rejections import sentence_of_error
from domain.calls import Endpoint
from domain.faults import BackendFailed
from domain.tally import Piece

_CHAT_MARK: Final = b'","message":{"role":"assistant","content":"'
_CHAT_TAIL: Final = b'"},"done":false}'
_GENERATE_MARK: Final = b'","response":"'
_GENERATE_TAIL: Final = b'","done":false}'


class NativeStream(LineDecoder):
    """Bytes of one native stream to pieces."""

    def __init__(self, endpoint: Endpoint, *, ours: str, theirs: str) -> None:
        """Takes the model's name as the backend spells it and as the caller does."""
        super().__init__()
        self._theirs = rewrites.json_inside(theirs)
        self._head = b'{"model":"%b","created_at":"' % rewrites.json_inside(ours)
        self._new_head = None if ours == theirs else b'{"model":"%b","created_at":"' % self._theirs
        chat = endpoint is Endpoint.NATIVE_CHAT
        self._mark = _CHAT_MARK if chat else _GENERATE_MARK
        self._tail = _CHAT_TAIL if chat else _GENERATE_TAIL

    def _piece(self, lines: list[bytes]) -> Piece | None:
        piece = Piece(b"")
        passed = []
        head, head_bytes, new_head, mark, tail = self._head, len(self._head), self._new_head, self._mark, self._tail
        for line in lines:
            at = line.find(b'"', head_bytes)  # the first quote, so that nothing stands before the text unread
            start = at + len(mark)
            end = line.find(b'"', start)
            try:
                if at > 0 and line.startswith(mark, at) and line[end:] == tail and line.startswith(head):
                    if end > start:
                        piece.text_bytes += objects.unescaped_bytes(line[start:end])
                        piece.objects += 1
                    passed.append(line if new_head is None else new_head + line[head_bytes:])
                    continue
                self._decode(line, piece, passed)
            except BackendFailed as fault:
                self.fault = fault
            if self.over or self.fault is not None:
                break
        if self.fault is not None and not passed:
            return None
        if passed:
            passed.append(b"")
            piece.raw = b"\n".join(passed)
        return piece

    def _decode(self, line: bytes, piece: Piece, passed: list[bytes]) -> None:
        found = objects.read_native(line)
        if found.error is not None:
            self.cause = objects.error_text(found.error)
            piece.error = sentence_of_error(self.cause)
            self.over = True
            return
        text_bytes = found.text_bytes
        if text_bytes:
            piece.objects += 1
            piece.text_bytes += text_bytes
        line = rewrites.with_model(rewrites.without_remote(line), self._theirs)
        if found.done:
            piece.usage = found.usage
            piece.ended = self.over = True
            line = rewrites.with_coarse_durations(line)
        passed.append(line)
