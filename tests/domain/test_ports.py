import importlib
import inspect
import pkgutil

import pytest

from domain import ports

MODULES = [importlib.import_module(f"domain.ports.{module.name}") for module in pkgutil.iter_modules(ports.__path__)]
PORTS = [
    kind
    for module in MODULES
    for _, kind in inspect.getmembers(module, inspect.isclass)
    if kind.__module__ == module.__name__ and getattr(kind, "_is_protocol", False)
]


@pytest.mark.parametrize("port", PORTS, ids=lambda port: port.__name__)
def test_a_port_that_leaves_a_promise_open_cannot_be_used(port: type) -> None:
    unfinished = type("Unfinished", (port,), {})

    with pytest.raises(TypeError, match="abstract"):
        unfinished()


@pytest.mark.parametrize("port", PORTS, ids=lambda port: port.__name__)
def test_every_promise_of_a_port_is_written_down(port: type) -> None:
    promises = [member for name, member in vars(port).items() if not name.startswith("_") and callable(member)]

    assert port.__doc__
    assert all(promise.__doc__ for promise in promises)


def test_secrets_of_ports_have_no_readable_form() -> None:
    known = importlib.import_module("domain.ports.registers").KnownKey

    assert "canary" not in repr(known(caller=None, secret_hash="canary", as_of=None))
