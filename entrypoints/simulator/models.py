"""The models that the simulated server has "installed", and how a name finds one.

Names are resolved as Ollama does it (`types/model/name.go`, `internal/modelref/modelref.go`): space is trimmed, a
`:local` source suffix is dropped, host, namespace and tag have defaults, and parts are compared without regard to case.
"""

import hashlib
from datetime import UTC, datetime

import attrs

from entrypoints.simulator.counting import MAX_TEMPLATE_TOKENS

_HOST = "registry.ollama.ai/"
_NAMESPACE = "library/"


def _made_up_digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


@attrs.frozen(kw_only=True)
class Model:
    """An installed model.

    Args:
        name: shortest form with tag, as `/api/tags` shows it.
        digest: 64 hex digits; models of one digest share a runner.
        size_bytes: on disk and, for simplicity, in memory.
        context_length: the trained length in tokens.
        capabilities: any of completion, tools, insert, vision, embedding, thinking.
        natural_tokens: length of an answer nobody caps; None as the server is configured.
        template_tokens: overhead of the template on each prompt, 0 to 12 (see `counting`).
        dimension: length of embedding vectors.
    """

    name: str
    digest: str = attrs.field(
        default=attrs.Factory(lambda self: _made_up_digest(self.name), takes_self=True),
        validator=attrs.validators.matches_re(r"[0-9a-f]{64}"),
    )
    size_bytes: int = 190_948_608
    family: str = "llama"
    parameter_size: str = "134.52M"
    quantization_level: str = "Q4_1"
    parent_model: str = ""
    context_length: int = 8192
    embedding_length: int = 576
    capabilities: tuple[str, ...] = ("completion",)
    natural_tokens: int | None = None
    template_tokens: int = attrs.field(
        default=8, validator=[attrs.validators.ge(0), attrs.validators.le(MAX_TEMPLATE_TOKENS)]
    )
    dimension: int = attrs.field(default=16, validator=attrs.validators.ge(1))
    template: str = "{{ .System }} {{ .Prompt }}"
    system: str = "You are a simulation and say so."
    modified_at: datetime = datetime(2026, 8, 1, 12, 0, 0, 123456, tzinfo=UTC)

    def can(self, capability: str) -> bool:
        """Say whether the model has a capability."""
        return capability in self.capabilities

    @property
    def full_name(self) -> str:
        """The name with host and namespace, as some of Ollama's errors print it."""
        return f"{_HOST}{'' if '/' in self.name else _NAMESPACE}{self.name}"


DEFAULT_MODELS = (
    Model(name="sim-chat:latest", capabilities=("completion", "tools")),
    Model(name="sim-think:latest", capabilities=("completion", "tools", "thinking"), parent_model="sim-chat:latest"),
    Model(
        name="sim-embed:latest",
        capabilities=("embedding",),
        family="bert",
        size_bytes=45_960_996,
        parameter_size="22.57M",
        quantization_level="F16",
        context_length=512,
        embedding_length=16,
    ),
    Model(name="sim-vision:latest", capabilities=("completion", "vision"), family="mllama"),
)


def canonical(spelling: str) -> str:
    """Return the comparable form of a model name: lower case, defaults dropped, tag filled in."""
    name = spelling.strip().lower().partition("://")[2] or spelling.strip().lower()
    name = name.removesuffix(":local").removeprefix(_HOST).removeprefix(_NAMESPACE)
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def is_cloud(spelling: str) -> bool:
    """Say whether a name points to ollama.com."""
    tag = spelling.rpartition(":")[2].strip().lower() if ":" in spelling else ""
    return tag == "cloud" or (tag.endswith("-cloud") and "/" not in tag)
