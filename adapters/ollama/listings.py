"""What a backend says of itself, in our words, pruned of what tenants must not see.

`/api/show` leaks the host's blob paths (`modelfile`, `details.parent_model`), the model's own system text and
example messages, template and licence; `/api/tags` and `/api/ps` leak `parent_model` and where a stub's requests
really go. So listings are built from allow-lists. Of `/api/ps`, `size_vram` and `expires_at` stay: Ollama's clients
print them, and whoever may use a model may know that it is loaded. Of `model_info` the `general.*` members and those
of the model's architecture stay; tokenizer arrays do not.

Models that are served from elsewhere (stubs with `remote_host`, cloud names) are left out: sending them a prompt
would send it to a third party.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs

from adapters.ollama.templates import added_bytes
from domain.faults import BackendFailed
from domain.models import Model, canonical
from domain.refusals import Refusal

MOST_MODELS: Final = 2_000
_MOST_FACTS_CHARACTERS: Final = 16 * 1024
"""Of one model; real ones have a tenth of it."""
_MOST_WORDS: Final = 32
_MOST_WORD: Final = 64
_DETAILS: Final = (
    "format", "family", "families", "parameter_size", "quantization_level", "context_length", "embedding_length",
)  # fmt: skip
_LISTED: Final = ("name", "model", "modified_at", "size", "digest", "details", "capabilities")
_LOADED: Final = ("name", "model", "size", "digest", "details", "expires_at", "size_vram", "context_length")
_MOST_CONTEXT: Final = 100_000_000


@attrs.frozen(kw_only=True)
class Description:
    """What `/api/show` says of one model, read once for each digest."""

    context_length: int | None
    template_bytes: int
    capabilities: frozenset[str]
    pruned: Mapping[str, Any]


@attrs.frozen(kw_only=True)
class Listed:
    """One entry of `/api/tags` that may be served."""

    name: str
    canonical: str
    digest: str
    entry: Mapping[str, Any]

    @property
    def key(self) -> tuple[str, str]:
        """What its description is kept under: a new digest is a new model."""
        return self.name, self.digest


def entries_of(answer: Any) -> list[dict[str, Any]]:
    """The `models` of `/api/tags` or `/api/ps`.

    Raises:
        BackendFailed: there is no such list.
    """
    models = answer.get("models") if isinstance(answer, dict) else None
    if models is None and isinstance(answer, dict) and "models" in answer:
        return []
    if not isinstance(models, list) or len(models) > MOST_MODELS:
        raise BackendFailed("The backend does not list its models as Ollama does.")
    return [entry for entry in models if isinstance(entry, dict)]


def version_of(answer: Any) -> str:
    """The version of `/api/version`.

    Raises:
        BackendFailed: it says none.
    """
    version = answer.get("version") if isinstance(answer, dict) else None
    if not isinstance(version, str):
        raise BackendFailed("The backend does not say its version as Ollama does.")
    return "".join(filter(str.isprintable, version[:64]))


def served(entries: Iterable[dict[str, Any]]) -> list[Listed]:
    """The listed models that run on this backend and have a name that can be asked for; the first of two that
    differ only in case.
    """
    found: dict[str, Listed] = {}
    for entry in entries:
        name = _name(entry)
        if name is None or entry.get("remote_host") or entry.get("remote_model"):
            continue
        try:
            form = canonical(name)
        except Refusal:
            continue
        digest = entry.get("digest")
        listed = Listed(name=name, canonical=form, digest=digest if isinstance(digest, str) else "", entry=entry)
        found.setdefault(form, listed)
    return list(found.values())


def describe(shown: Any) -> Description | None:
    """The description of a model; None when it turns out to be a stub of one elsewhere.

    Raises:
        BackendFailed: it is not what Ollama sends.
    """
    if not isinstance(shown, dict):
        raise BackendFailed("The backend does not describe its models as Ollama does.")
    if shown.get("remote_host") or shown.get("remote_model"):
        return None
    known = shown.get("model_info")
    facts: dict[str, Any] = known if isinstance(known, dict) else {}
    return Description(
        context_length=_context_of(facts),
        template_bytes=added_bytes(shown),
        capabilities=_words(shown.get("capabilities")),
        pruned={
            "details": _details(shown.get("details")),
            "model_info": _facts(facts),
            "capabilities": sorted(_words(shown.get("capabilities"))),
            **({"modified_at": shown["modified_at"]} if isinstance(shown.get("modified_at"), str) else {}),
        },
    )


def model_of(listed: Listed, description: Description, loaded: dict[str, Any] | None) -> Model:
    """A model of the catalogue."""
    details = listed.entry.get("details")
    trained = _context(details.get("context_length")) if isinstance(details, dict) else None
    of_runner = None if loaded is None else _context(loaded.get("context_length"))
    return Model(
        name=listed.name,
        canonical=listed.canonical,
        context_length=of_runner or trained or description.context_length,
        template_bytes=description.template_bytes,
        capabilities=description.capabilities or _words(listed.entry.get("capabilities")),
        loaded=loaded is not None,
        listing=_pruned(listed.entry, _LISTED),
        loaded_listing=None if loaded is None else _pruned(loaded, _LOADED),
        description=description.pruned,
    )


def loaded_by_name(entries: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Canonical name -> entry of `/api/ps`. Names made from one blob share a runner; only the first is listed."""
    return {listed.canonical: dict(listed.entry) for listed in served(entries)}


def _name(entry: Mapping[str, Any]) -> str | None:
    name = entry.get("name") or entry.get("model")
    return name if isinstance(name, str) else None


def _pruned(entry: Mapping[str, Any], allowed: tuple[str, ...]) -> dict[str, Any]:
    kept = {key: entry[key] for key in allowed if key in entry}
    if "details" in kept:
        kept["details"] = _details(kept["details"])
    return kept


def _details(details: Any) -> dict[str, Any]:
    return {key: details[key] for key in _DETAILS if key in details} if isinstance(details, dict) else {}


def _facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    architecture = facts.get("general.architecture")
    families = ("general.", f"{architecture}.") if isinstance(architecture, str) and architecture else ("general.",)
    kept: dict[str, Any] = {}
    left = _MOST_FACTS_CHARACTERS
    for key, value in facts.items():
        if key.startswith(families) and isinstance(value, str | int | float | bool) and value != "":
            left -= len(key) + (len(value) if isinstance(value, str) else 0)
            if left < 0:
                break
            kept[key] = value
    return kept


def _context_of(facts: Mapping[str, Any]) -> int | None:
    lengths = [_context(value) for key, value in facts.items() if key.endswith(".context_length")]
    return max((length for length in lengths if length is not None), default=None)


def _context(value: Any) -> int | None:
    plausible = isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _MOST_CONTEXT
    return value if plausible else None


def _words(value: Any) -> frozenset[str]:
    words = value[:_MOST_WORDS] if isinstance(value, list) else []
    return frozenset(word for word in words if isinstance(word, str) and len(word) <= _MOST_WORD)
