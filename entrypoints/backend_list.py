"""The list of backends, as it stands in `OLLAMA_BACKENDS`: read, checked, changed and written here alone.

    [{"name":"gpu1","url":"http://gpu1:11434","token":"...","header":"Authorization","scheme":"Bearer",
      "max_in_flight":4}, ...]

Only `name` and `url` are required. A URL never carries credentials, because URLs are logged; they go into `token`,
which is unwrapped here in one place: `written`, where the list becomes text for the environment again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import cattrs

from adapters.ollama.address import BackendAddress
from domain.keys import Secret

DEFAULT_HEADER = "Authorization"
DEFAULT_SCHEME = "Bearer"
REDACTED = "***"


def _without_slash(url: str) -> str:
    return url.rstrip("/")


def _default_scheme(backend: BackendSettings) -> str:
    return DEFAULT_SCHEME if backend.header.lower() == DEFAULT_HEADER.lower() else ""


@attrs.frozen(kw_only=True)
class BackendSettings:
    """One Ollama server, and how to be let in there. What each part may be, `BackendAddress` decides."""

    name: str
    url: str = attrs.field(converter=_without_slash)
    token: Secret | None = None
    header: str = DEFAULT_HEADER
    """Which header carries the token."""
    scheme: str = attrs.field(default=attrs.Factory(_default_scheme, takes_self=True))
    """The word before the token; `Bearer` in Authorization and nothing in any other header, unless said otherwise."""
    max_in_flight: int | None = None
    """Calls it is given at once; None: `BACKEND_MAX_IN_FLIGHT`."""

    def __attrs_post_init__(self) -> None:
        """Checks all parts together."""
        self.address(1)

    def address(self, default_max_in_flight: int) -> BackendAddress:
        """The backend as its adapter takes it."""
        limit = default_max_in_flight if self.max_in_flight is None else self.max_in_flight
        return BackendAddress(
            name=self.name,
            url=self.url,
            token=self.token,
            header=self.header,
            scheme=self.scheme,
            most_in_flight=limit,
        )


def _strictly(wanted: type, words: str) -> Callable[[Any, Any], Any]:
    def structure(value: Any, _type: Any) -> Any:
        if type(value) is not wanted:
            raise ValueError(f"must be {words}")
        return value

    return structure


def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True)
    converter.register_structure_hook(str, _strictly(str, "a text"))
    converter.register_structure_hook(int, _strictly(int, "a whole number"))
    as_text = _strictly(str, "a text")
    converter.register_structure_hook(Secret, lambda value, _type: Secret(as_text(value, str)))
    return converter


_CONVERTER = _converter()


def _in_words(error: BaseException, _type: type | None) -> str:
    """What is wrong, never with the value itself."""
    if isinstance(error, cattrs.ForbiddenExtraKeysError):
        known = ", ".join(field.name for field in attrs.fields(BackendSettings))
        return f"has unknown fields ({', '.join(sorted(map(str, error.extra_fields)))}): known are {known}"
    if isinstance(error, KeyError):
        return "is missing"
    return str(error) if type(error) is ValueError else "must be an object with a name and a url"


def read_backends(text: str) -> tuple[BackendSettings, ...]:
    """The backends of an `OLLAMA_BACKENDS` value, in order.

    Quotes around the whole are taken off: `docker run --env-file` hands them on.

    Raises:
        ValueError: it is not such a list; says where and why, and never repeats what may be a token.
    """
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] == "'":
        text = text[1:-1]
    try:
        entries = json.loads(text)
    except ValueError:
        raise ValueError("is not JSON: let `neuronetz-gateway add-backend` write it") from None
    if type(entries) is not list:
        raise ValueError('must be a JSON list, as [{"name":"gpu1","url":"http://gpu1:11434"}]')
    backends = tuple(_read_entry(entry, position) for position, entry in enumerate(entries, 1))
    names = [backend.name for backend in backends]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"names {', '.join(twice)} more than once: give each backend its own name")
    return backends


def _read_entry(entry: Any, position: int) -> BackendSettings:
    if type(entry) is not dict:
        raise ValueError(f"is wrong in entry {position}: it must be an object with a name and a url")
    try:
        return _CONVERTER.structure(entry, BackendSettings)
    except cattrs.BaseValidationError as error:
        found = cattrs.transform_error(error, path="", format_exception=_in_words)
        complaints = [" ".join(reversed(each.split(" @ ", 1))).strip().lstrip(".") for each in found]
    raise ValueError(f"is wrong in entry {position}: {'; '.join(complaints)}") from None


def written(backends: Sequence[BackendSettings], *, redacted: bool = False) -> str:
    r"""The list as the text of `OLLAMA_BACKENDS`; `read_backends` gives the same list again.

    Characters that a shell or a dotenv reader could take for its own (quotes, backslash, dollar, backtick) are
    written as JSON's ``\uXXXX``, so the text is safe between single quotes everywhere. What is as by default is left
    out.

    Args:
        backends: in the order to keep.
        redacted: show `***` for tokens.
    """
    text = json.dumps([_entry(backend, redacted=redacted) for backend in backends], separators=(",", ":"))
    text = re.sub(r"\\([\"\\])", lambda escape: f"\\u{ord(escape[1]):04x}", text)
    return re.sub(r"['$`]", lambda special: f"\\u{ord(special[0]):04x}", text)


def _entry(backend: BackendSettings, *, redacted: bool) -> dict[str, str | int]:
    entry: dict[str, str | int] = {"name": backend.name, "url": backend.url}
    if backend.token is not None:
        entry["token"] = REDACTED if redacted else backend.token.unwrap()
    if backend.header != DEFAULT_HEADER:
        entry["header"] = backend.header
    if backend.scheme != _default_scheme(backend):
        entry["scheme"] = backend.scheme
    if backend.max_in_flight is not None:
        entry["max_in_flight"] = backend.max_in_flight
    return entry
