"""What the folders promise, read from the files themselves."""

import ast
import importlib.metadata
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("domain", "application", "adapters", "entrypoints", "migrations")
TOP_LEVEL = {*PACKAGES, "tests", "infra"}
LAUNCHER = "neuronetz_gateway"
BANNED_NAMES = {
    "util", "utils", "helper", "helpers", "common", "misc", "base", "manager", "managers", "service", "services",
    "handler", "handlers", "data", "info",
}  # fmt: skip
MOST_LINES = {**dict.fromkeys((*PACKAGES, "infra"), 300), "tests": 800}
FORBIDDEN_IN_DOMAIN = {
    "asyncio", "os", "time", "random", "secrets", "socket", "ssl", "threading", "subprocess", "logging", "pathlib",
    "uuid", "io", "signal", "tempfile", "urllib", "http", "multiprocessing", "concurrent",
}  # fmt: skip
PORTS = sorted(path.name for path in (ROOT / "domain" / "ports").glob("*.py") if path.name != "__init__.py")


def modules(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from (path for path in (ROOT / folder).rglob("*.py") if "__pycache__" not in path.parts)


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


OURS = sorted(modules(*PACKAGES, "tests", "infra"))


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{shown(path)}: relative import"
            yield node.module or ""


def test_the_top_level_packages_are_these() -> None:
    with_python = {
        path.relative_to(ROOT).parts[0]
        for path in ROOT.glob("*/**/*.py")
        if not path.relative_to(ROOT).parts[0].startswith(".") and "site-packages" not in path.parts
    }

    assert with_python - {"dist", "build"} == TOP_LEVEL
    assert sorted(path.name for path in ROOT.glob("*.py")) == []


def test_no_installed_distribution_owns_our_names() -> None:
    owners = importlib.metadata.packages_distributions()

    assert {name: owners[name] for name in PACKAGES if name in owners} == {}
    assert set(owners.get(LAUNCHER, ["neuronetz-gateway"])) == {"neuronetz-gateway"}


def test_site_packages_holds_nothing_under_our_names() -> None:
    folders = [Path(entry) for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages")]
    found = [
        folder / name
        for folder in folders
        for name in PACKAGES
        if (folder / name).exists() or (folder / f"{name}.py").exists()
    ]

    assert found == []


def test_the_domain_imports_the_standard_library_and_attrs_alone() -> None:
    allowed = (sys.stdlib_module_names - FORBIDDEN_IN_DOMAIN) | {"attrs", "domain"}
    foreign = {
        f"{shown(path)}: {name}"
        for path in modules("domain")
        for name in imported(path)
        if name.partition(".")[0] not in allowed
    }

    assert foreign == set()


def test_the_domains_tests_need_nothing_but_the_domain() -> None:
    allowed = sys.stdlib_module_names | {"attrs", "domain", "pytest", "hypothesis", "tests"}
    paths = [*modules("tests/domain"), ROOT / "tests" / "builders.py"]
    names = {(shown(path), name) for path in paths for name in imported(path)}

    assert {(path, name) for path, name in names if name.partition(".")[0] not in allowed} == set()
    assert {name for _, name in names if name.startswith("tests")} <= {"tests.builders"}


def test_only_ports_wait_in_the_domain() -> None:
    waiting = {
        shown(path)
        for path in modules("domain")
        if path.parent.name != "ports"
        and any(
            isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith)
            for node in ast.walk(ast.parse(path.read_text()))
        )
    }

    assert waiting == set()


def test_ports_promise_and_do_nothing() -> None:
    """Every method of a port is abstract and has a docstring for a body."""
    for path in modules("domain/ports"):
        for kind in ast.walk(ast.parse(path.read_text())):
            if not isinstance(kind, ast.ClassDef) or not any(ast.unparse(b) == "Protocol" for b in kind.bases):
                continue
            for method in kind.body:
                if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef):
                    where = f"{shown(path)}: {kind.name}.{method.name}"
                    assert "abstractmethod" in map(ast.unparse, method.decorator_list), where
                    assert len(method.body) == 1, where
                    assert ast.get_docstring(method), where


@pytest.mark.parametrize("path", OURS, ids=shown)
def test_a_module_is_not_longer_than_one_idea(path: Path) -> None:
    assert path.read_text().count("\n") <= MOST_LINES[path.relative_to(ROOT).parts[0]]


def test_no_module_is_named_for_nothing() -> None:
    named = {shown(path): set(re.split(r"[_./]", shown(path.with_suffix("")))) for path in OURS}

    assert {path for path, words in named.items() if words & BANNED_NAMES} == set()


def test_every_module_with_code_opens_with_its_theory() -> None:
    silent = {
        shown(path)
        for path in modules(*PACKAGES, "infra")
        if path.read_text().strip() and not ast.get_docstring(ast.parse(path.read_text()))
    }

    assert silent == set()


def test_nothing_is_opened_when_a_domain_module_is_imported() -> None:
    """At module level stand definitions, values and plain constructors, no loops, waits or handlers."""
    allowed = (
        ast.Import, ast.ImportFrom, ast.ClassDef, ast.FunctionDef, ast.Assign, ast.AnnAssign, ast.Expr,
    )  # fmt: skip
    for path in modules("domain"):
        for node in ast.parse(path.read_text()).body:
            assert isinstance(node, allowed), f"{shown(path)}:{node.lineno}"
            if isinstance(node, ast.Expr):
                assert isinstance(node.value, ast.Constant), f"{shown(path)}:{node.lineno}"


def test_the_ports_are_these() -> None:
    assert PORTS == [
        "audit_reader.py", "audit_seals.py", "budget_ledger.py", "call_observer.py", "encryption.py", "hour_keys.py",
        "inspection.py", "key_cache.py", "limit_store.py", "model_backend.py", "prompt_journal.py",
        "registers.py", "surroundings.py", "turns.py", "usage_journal.py", "usage_reader.py",
        "wedge_board.py",
    ]  # fmt: skip


@pytest.mark.parametrize("name", PORTS)
def test_a_port_has_a_fake_of_the_same_name(name: str) -> None:
    assert (ROOT / "tests" / "fakes" / name).is_file()


@pytest.mark.parametrize("name", PORTS)
def test_a_port_has_a_contract_of_the_same_name(name: str) -> None:
    contracts = ROOT / "tests" / "contracts"

    assert (contracts / name).is_file() or (contracts / f"test_{name}").is_file()


@pytest.mark.parametrize("name", PORTS)
def test_a_fake_is_a_subclass_of_its_port(name: str) -> None:
    ports = {
        node.name
        for node in ast.parse((ROOT / "domain" / "ports" / name).read_text()).body
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base) == "Protocol" for base in node.bases)
    }
    fake = ast.parse((ROOT / "tests" / "fakes" / name).read_text())
    bases = {ast.unparse(base) for node in ast.walk(fake) if isinstance(node, ast.ClassDef) for base in node.bases}

    assert ports <= bases


def test_no_fake_is_a_mock() -> None:
    mocks = {shown(path) for path in modules("tests") if any(n.startswith("unittest.mock") for n in imported(path))}

    assert mocks == set()


def test_every_log_line_is_found_under_one_name() -> None:
    names = {
        (shown(path), ast.unparse(call.args[0]))
        for path in modules("application", "adapters", "entrypoints/http")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and ast.unparse(call.func) in ("structlog.get_logger", "logging.getLogger")
    }

    assert {name for _, name in names} == {"'neuronetz'"}, names


def test_an_event_in_the_log_is_one_word() -> None:
    events = {
        (shown(path), ast.literal_eval(call.args[0]))
        for path in modules("application", "adapters", "entrypoints")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and ast.unparse(call.func).startswith("_log.")
    }

    assert events
    assert {(path, event) for path, event in events if not re.fullmatch(r"[a-z]+(_[a-z]+)*", event)} == set()
