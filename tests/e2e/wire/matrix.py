"""Every route of ours and of Ollama's x the ways to spell it x methods."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence

import attrs

from tests.e2e.wire.case import AUTHORIZATION, BODY

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")

_CALLS = (
    "/api/chat", "/api/generate", "/api/embed", "/api/embeddings", "/v1/chat/completions", "/v1/completions",
    "/v1/embeddings", "/v1/responses", "/v1/messages",
)  # fmt: skip
CALLS: Mapping[str, Sequence[str]] = dict.fromkeys(_CALLS, ("POST",))
"""What may reach a backend, and by which method."""
LOOKS: Mapping[str, Sequence[str]] = {
    "/api/tags": ("GET", "HEAD"),
    "/api/version": ("GET", "HEAD"),
    "/api/ps": ("GET",),
    "/api/show": ("POST",),
    "/v1/models": ("GET",),
    "/v1/models/sim-chat": ("GET",),
    "/healthz": ("GET", "HEAD"),
    "/readyz": ("GET", "HEAD"),
    "/openapi.json": ("GET",),
}
"""What the gateway answers by itself."""
MUTATIONS = (
    "/api/pull", "/api/push", "/api/create", "/api/delete", "/api/copy", "/api/blobs/sha256:abc", "/api/me",
    "/api/signout", "/api/user/keys/x", "/api/status", "/api/experimental/web_search", "/api/experimental/web_fetch",
    "/api/experimental/model-recommendations", "/api/experimental/aliases",
)  # fmt: skip
"""Ollama's routes that change models or use the operator's account: 403, whatever the method."""
STRANGE = (
    "/v1/audio/transcriptions", "/v1/images/generations", "/v1/images/edits", "/v1/messages/count_tokens",
    "/debug/pprof/heap", "/metrics", "/_ollama/health", "/api/v1/settings",
)  # fmt: skip
"""What nobody serves here."""
ROUTES = (*CALLS, *LOOKS, *MUTATIONS, *STRANGE)


def _leaf(path: str) -> tuple[str, str]:
    parent, _, leaf = path.rpartition("/")
    return parent + "/", leaf


def _in_leaf(change: Callable[[str], str]) -> Callable[[str], str]:
    def spelt(path: str) -> str:
        parent, leaf = _leaf(path)
        return parent + change(leaf)

    return spelt


PLAIN = "plain"
QUERY = "a query"
ABSOLUTE = "absolute"
SPELLINGS: Mapping[str, Callable[[str], str]] = {
    PLAIN: lambda path: path,
    QUERY: lambda path: path + "?beta=true",
    ABSOLUTE: lambda path: "http://localhost" + path,
    "absolute, another host": lambda path: "http://other.example" + path,
    "slash behind": lambda path: path + "/",
    "two slashes behind": lambda path: path + "//",
    "slash before": lambda path: "/" + path,
    "slashes doubled": lambda path: path.replace("/", "//"),
    "slashes as %2f": lambda path: "/" + path[1:].replace("/", "%2f"),
    "all slashes as %2F": lambda path: path.replace("/", "%2F"),
    "slashes as %252f": lambda path: "/" + path[1:].replace("/", "%252f"),
    "backslashes": lambda path: path.replace("/", "\\"),
    "slashes as %5c": lambda path: "/" + path[1:].replace("/", "%5c"),
    "slashes as overlong UTF-8": lambda path: "/" + path[1:].replace("/", "%C0%AF"),
    "a letter as %61": _in_leaf(lambda leaf: f"%{ord(leaf[0]):02x}{leaf[1:]}"),
    "every letter escaped": _in_leaf(lambda leaf: "".join(f"%{ord(letter):02X}" for letter in leaf)),
    "a letter escaped twice": _in_leaf(lambda leaf: f"%25{ord(leaf[0]):02x}{leaf[1:]}"),
    "capitals": str.upper,
    "a capital": _in_leaf(str.capitalize),
    "./": _in_leaf(lambda leaf: "./" + leaf),
    "x/../": _in_leaf(lambda leaf: "x/../" + leaf),
    "x/%2e%2e/": _in_leaf(lambda leaf: "x/%2e%2e/" + leaf),
    "x/..%2f": _in_leaf(lambda leaf: "x/..%2f" + leaf),
    "/x/.. before": lambda path: "/x/.." + path,
    "/api/chat/../.. before": lambda path: "/api/chat/../.." + path,
    "/. behind": lambda path: path + "/.",
    ";a=b behind": lambda path: path + ";a=b",
    ";x inside": lambda path: path.replace("/", ";x/").removeprefix(";x"),
    "%20 behind": lambda path: path + "%20",
    "%00 behind": lambda path: path + "%00",
    "%0a behind": lambda path: path + "%0a",
    "%0d%0a behind": lambda path: path + "%0d%0a",
    "%3f behind": lambda path: path + "%3fx=1",
    "a fragment": lambda path: path + "#f",
    "a tab behind": lambda path: path + "\t",
    ".json behind": lambda path: path + ".json",
    "of a chat's query": lambda path: "/api/nowhere?" + path,
}
RIGHT = frozenset({PLAIN, QUERY, ABSOLUTE, "absolute, another host"})
"""Spellings of the same route: a query is not read, and of an absolute target only the path (RFC 9112, 3.2.2)."""

_BODIES: Mapping[str, object] = {
    "/api/generate": {"prompt": "Hi", "stream": False, "options": {"num_predict": 1}},
    "/api/embed": {"input": "Hi"},
    "/api/embeddings": {"prompt": "Hi"},
    "/api/show": {},
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1},
    "/v1/completions": {"prompt": "Hi", "max_tokens": 1},
    "/v1/embeddings": {"input": "Hi"},
    "/v1/responses": {"input": "Hi", "max_output_tokens": 1},
    "/v1/messages": {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1},
}


@attrs.frozen
class Cell:
    """One request of the matrix."""

    route: str
    spelling: str
    method: str

    @property
    def target(self) -> str:
        """What is on the wire."""
        return SPELLINGS[self.spelling](self.route)

    @property
    def is_call(self) -> bool:
        """Whether it is right that a backend sees it."""
        return self.method in CALLS.get(self.route, ()) and self.spelling in RIGHT

    @property
    def may_be_answered(self) -> bool:
        """Whether 200 is right: the model's name in a path may be escaped as one likes."""
        if self.route == "/v1/models/sim-chat":
            return self.method == "GET"
        return self.is_call or (self.method in LOOKS.get(self.route, ()) and self.spelling in RIGHT)

    def request(self, key: str) -> bytes:
        """Its bytes; the connection stays open."""
        given = _BODIES.get(self.route)
        body = BODY if given is None else json.dumps({"model": "sim-chat", **dict(given)}).encode()  # type: ignore[call-overload]
        lines = [
            f"{self.method} {self.target} HTTP/1.1", "Host: localhost", AUTHORIZATION[:-51] + key,
            "Content-Type: application/json", f"Content-Length: {len(body)}", "", "",
        ]  # fmt: skip
        return "\r\n".join(lines).encode() + body


def cells(part: int = 1) -> Iterator[Cell]:
    """The matrix, or one in so many of it: such that every route meets every spelling, and each of them every method.

    Args:
        part: 1 for all of it.
    """
    for row, route in enumerate(ROUTES):
        for column, (spelling, spelt) in enumerate(SPELLINGS.items()):
            if spelling != PLAIN and spelt(route) == route:
                continue  # it has nothing to be spelt otherwise
            for layer, method in enumerate(METHODS):
                if spelling == PLAIN or (row + column + layer) % part == 0:
                    yield Cell(route, spelling, method)
