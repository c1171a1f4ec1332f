"""Model names, and the catalogue of what the backends have.

Ollama reads `[scheme://][host[:port]/][namespace/]model[:tag]` leniently: it trims, ignores case, fills in defaults,
understands `:cloud` and `:local`, so one model has many spellings (Ollama `types/model/name.go`,
`internal/modelref/modelref.go`, v0.33). Permission must not depend on the spelling, so a name is brought to its four
parts in lower case, compared in that form, and the backend is sent the operator's own spelling.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from domain.refusals import Code, Refusal

MAX_NAME_LENGTH = 600
_FORM = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/:-]*", re.ASCII)
_HOST_PART = re.compile(r"[a-z0-9_][a-z0-9._:-]{0,349}", re.ASCII)
_NAMESPACE_PART = re.compile(r"[a-z0-9_][a-z0-9_-]{0,79}", re.ASCII)
_MODEL_PART = re.compile(r"[a-z0-9_][a-z0-9._-]{0,79}", re.ASCII)
_DEFAULT_HOST = "registry.ollama.ai"
_DEFAULT_NAMESPACE = "library"
_DEFAULT_TAG = "latest"
_MOST_PARTS = 3


def canonical(name: str) -> str:
    """The one form of a model name: `host/namespace/model:tag` in lower case.

    Raises:
        Refusal: `invalid_model_name`, or `cloud_model` for a name that Ollama would send to the vendor's cloud.
    """
    if len(name) > MAX_NAME_LENGTH or not _FORM.fullmatch(name) or "://" in name:
        raise _malformed()
    local, source = _cut_source(name.lower())
    second = _cut_source(local)[1] if source else ""
    if "cloud" in (source, second):
        raise Refusal(
            Code.CLOUD_MODEL,
            "Cloud models are not served here: they would send your prompt to a third party. Name a local model.",
            param="model",
        )
    parts = local.split("/")
    if second or len(parts) > _MOST_PARTS:
        raise _malformed()
    model, _, tag = parts[-1].partition(":")
    namespace = parts[-2] if len(parts) > 1 else _DEFAULT_NAMESPACE
    host = parts[0] if len(parts) == _MOST_PARTS else _DEFAULT_HOST
    tag = tag if ":" in parts[-1] else _DEFAULT_TAG
    fits = (
        _HOST_PART.fullmatch(host)
        and _NAMESPACE_PART.fullmatch(namespace)
        and _MODEL_PART.fullmatch(model)
        and _MODEL_PART.fullmatch(tag)
    )
    if not fits:
        raise _malformed()
    return f"{host}/{namespace}/{model}:{tag}"


def shortest(canonical_name: str) -> str:
    """A canonical name as a person writes it, with its tag: defaults left out."""
    at_home = canonical_name.removeprefix(f"{_DEFAULT_HOST}/")
    return canonical_name if at_home == canonical_name else at_home.removeprefix(f"{_DEFAULT_NAMESPACE}/")


def as_typed(canonical_name: str) -> str:
    """A canonical name as most people type it: the tag, too, is left out where it is the default."""
    return shortest(canonical_name).removesuffix(f":{_DEFAULT_TAG}")


@attrs.frozen(kw_only=True)
class Model:
    """One model of one backend, as that backend describes it."""

    name: str
    """The operator's spelling, sent upstream."""
    canonical: str
    context_length: int | None = None
    """The most tokens one prompt can become: of the loaded runner if loaded, else as trained. None: not known."""
    least_context: int = 0
    """Where the context is not known: what it is at least, because another host of the model has as much."""
    template_bytes: int = 512
    """An upper bound on the tokens that template and built-in system text add to a prompt."""
    capabilities: frozenset[str] = frozenset()
    """As Ollama names them: completion, tools, vision, embedding, thinking. Empty: the backend did not say."""
    loaded: bool = False
    listing: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    """Its entry in `/api/tags`, already pruned of what tenants must not see."""
    loaded_listing: Mapping[str, Any] | None = attrs.field(default=None, repr=False)
    """Its entry in `/api/ps`, pruned likewise; None when it is not loaded."""
    description: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    """What `/api/show` says, pruned."""

    def under(self, alias: str) -> Model:
        """The model as lists show it under an alias (canonical form). What is loaded is the model, not its alias."""
        listed = shortest(alias)
        return attrs.evolve(
            self,
            name=as_typed(alias),
            listing={**self.listing, "name": listed, "model": listed},
            loaded_listing=None,
        )


class Catalogue:
    """Every model of every backend that was ever seen, by canonical name. A snapshot: a new one replaces it."""

    def __init__(self, models_by_backend: Mapping[str, Iterable[Model]]) -> None:
        self._by_name: dict[str, dict[str, Model]] = {}
        for backend, models in models_by_backend.items():
            for model in models:
                self._by_name.setdefault(model.canonical, {})[backend] = model

    def hosts(self, name: str) -> Mapping[str, Model]:
        """Backend name -> the model there. Empty when no backend has it."""
        return self._by_name.get(name, {})

    def names(self) -> Iterable[str]:
        """Canonical names, in the order of the first backend that has them."""
        return self._by_name.keys()

    def one(self, name: str) -> Model | None:
        """The model as its first host describes it, loaded hosts first."""
        hosts = self._by_name.get(name)
        if not hosts:
            return None
        return next((m for m in hosts.values() if m.loaded), next(iter(hosts.values())))

    def bound(self, name: str) -> Model | None:
        """The model with the widest context and template of all its hosts: bounds taken from it hold on each."""
        model = self.one(name)
        if model is None:
            return None
        hosts = self.hosts(name).values()
        told = all(m.capabilities for m in hosts)  # of a host that does not say, anything must be expected
        contexts = [m.context_length for m in hosts if m.context_length is not None]
        return attrs.evolve(
            model,
            context_length=max(contexts) if len(contexts) == len(hosts) else None,
            least_context=max(contexts, default=0) if len(contexts) < len(hosts) else 0,
            template_bytes=max(m.template_bytes for m in hosts),
            capabilities=frozenset().union(*(m.capabilities for m in hosts)) if told else frozenset(),
        )


EMPTY_CATALOGUE = Catalogue({})


def _cut_source(name: str) -> tuple[str, str]:
    """A name in lower case without its source, and the source: `local`, `cloud` or none.

    Ollama cuts at the **last** colon: `x:20b:cloud`, `x:20b-cloud` and `x:CLOUD` are all cloud; `my-cloud` is not.
    """
    head, colon, tail = name.rpartition(":")
    if colon and tail in ("local", "cloud"):
        return head, tail
    if colon and tail.endswith("-cloud") and "/" not in tail:
        return name.removesuffix("-cloud"), "cloud"
    return name, ""


def _malformed() -> Refusal:
    return Refusal(
        Code.INVALID_MODEL_NAME,
        "The model name is malformed: write it as `name:tag`, for instance `llama3.2:latest`.",
        param="model",
    )
