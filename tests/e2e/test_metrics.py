"""What an operator sees of a real gateway: the numbers are those that clients met, and the dashboard and the alert
rules speak of numbers that are there.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from domain.faults import FaultCode
from domain.limits import Limits
from domain.policies import Policy
from domain.refusals import Code
from entrypoints.embedded import EmbeddedStores
from entrypoints.parent.merging import merged
from tests.docs.metrics import documented
from tests.e2e.house import House, Key
from tests.e2e.programs import ROOT, Gateway, cli, eventually, free_port

OBSERVABILITY = ROOT / "infra" / "observability"
RULES = OBSERVABILITY / "alerts.yaml"
DASHBOARD = OBSERVABILITY / "dashboard.json"
SEALED = {"AUDIT_SEAL_KEY": "the-seal-key-of-a-house-that-is-a-test"}
ONLY_IN_TROUBLE = {"neuronetz_model_wedged"}
"""Has a series for each model that is wedged, and else none."""
CHAT = {"model": "sim-chat", "messages": [{"role": "user", "content": "Hi"}]}
Samples = Mapping[str, Mapping[tuple[tuple[str, str], ...], float]]
"""By name, then by labels."""


@attrs.frozen(kw_only=True)
class Watched:
    """A gateway with metrics, and the codes that its clients were told."""

    house: House
    url: str
    client: httpx.Client
    told: Counter[str] = attrs.field(factory=Counter)

    def scrape(self) -> Samples:
        return samples_in(self.client.get(f"{self.url}/metrics").text)

    def scrape_of_parent(self) -> Samples:
        """What a parent would make of it if this were its only process."""
        told = self.client.get(f"{self.url}/metrics").content
        return samples_in(merged({1: told}, running=1, restarts=0).decode())

    def total(self, name: str, **labels: str) -> float:
        wanted = labels.items()
        return sum(value for found, value in self.scrape().get(name, {}).items() if wanted <= dict(found).items())

    def codes(self) -> Counter[str]:
        """Codes that the gateway says it told."""
        counted = Counter[str]()
        for labels, value in self.scrape()["neuronetz_refusals_total"].items():
            counted[dict(labels)["code"]] += int(value)
        return +counted

    def ask(self, method: str, path: str, key: Key | None = None, **options: Any) -> httpx.Response:
        headers = {**(key.headers if key else {}), **options.pop("headers", {})}
        answer = self.client.request(method, f"{self.house.url}{path}", headers=headers, **options)
        if "x-error-code" in answer.headers:
            self.told[answer.headers["x-error-code"]] += 1
        return answer


@pytest.fixture(scope="module")
def watched(stores: EmbeddedStores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    bind = f"127.0.0.1:{free_port()}"
    options = ("--tokens", "40", "--token-delay-ms", "5")
    folder = tmp_path_factory.mktemp("metrics")
    with httpx.Client(timeout=30) as client, House.open(stores, folder, *options, METRICS_BIND=bind, **SEALED) as house:
        house.add_gateway(PROCESS_BEAT_S="1").wait_ready()
        watched = Watched(house=house, url=f"http://{bind}", client=client)
        make_traffic(watched)
        yield watched


def samples_in(exposition: str) -> Samples:
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


def make_traffic(watched: Watched) -> None:
    """Answers of every kind, refusals of many, and a client that leaves."""
    key = watched.house.new_key()
    for path in ("/api/chat", "/v1/chat/completions"):
        for streamed in (True, False):
            assert watched.ask("POST", path, key, json={**CHAT, "stream": streamed}).status_code == 200
    assert watched.ask("POST", "/api/generate", key, json={"model": "sim-chat", "prompt": "Hi"}).status_code == 200
    assert watched.ask("POST", "/v1/embeddings", key, json={"model": "sim-embed", "input": "x"}).status_code == 200
    assert watched.ask("GET", "/api/tags", key).status_code == 200
    refuse_everything(watched, key)
    hang_up(watched, key)


def refuse_everything(watched: Watched, key: Key) -> None:
    limited = watched.house.new_key(key_policy=Policy(limits=Limits(rpm=1)))
    for _ in range(3):
        watched.ask("POST", "/api/chat", limited, json={**CHAT, "stream": False})
    for path in ("/api/chat", "/api/tags", "/v1/models"):
        watched.ask("POST" if path == "/api/chat" else "GET", path)
        watched.ask("POST" if path == "/api/chat" else "GET", path, headers={"x-api-key": "nz_" + "x" * 48})
    watched.ask("POST", "/api/pull", json={"model": "x"})
    watched.ask("GET", "/no/such/path")
    watched.ask("GET", "/api/chat", key)
    watched.ask("POST", "/api/chat", key, content=b"{")
    watched.ask("POST", "/v1/chat/completions", key, json={**CHAT, "model": "no-such-model"})
    watched.ask("POST", "/api/show", key, json={"model": "no-such-model"})
    watched.ask("POST", "/api/chat", key, content=b"{}", headers={"content-encoding": "gzip"})


def hang_up(watched: Watched, key: Key) -> None:
    with watched.client.stream("POST", f"{watched.house.url}/api/chat", headers=key.headers, json=CHAT) as answer:
        next(answer.iter_bytes())
    for _ in eventually(10):
        if watched.total("neuronetz_calls_total", outcome="hung_up") == 1:
            return


# -- the numbers are true -------------------------------------------------------------------------------------------


def test_every_code_that_clients_were_told_is_counted_once(watched: Watched) -> None:
    for _ in eventually(10):  # an answer may be there before it is counted
        counted = watched.codes()
        if counted.total() >= watched.told.total():
            assert counted == watched.told
            break
    assert len(watched.told) > 8


def test_calls_are_counted_as_the_audit_counts_them(watched: Watched) -> None:
    watched.house.settled()
    rows = watched.house.rows("select outcome, count(*) as n from audit where event = 'finished' group by 1")
    finished = {row["outcome"]: row["n"] for row in rows}

    counted = {outcome: watched.total("neuronetz_calls_total", outcome=outcome) for outcome in finished}
    assert finished
    assert counted == finished


def test_tokens_are_what_the_budgets_were_charged(watched: Watched) -> None:
    watched.house.settled()
    used = watched.house.rows("select sum(used) as n from budget_windows where kind = 2 and scope_id = tenant_id")

    assert watched.total("gen_ai_client_token_usage_sum") == used[0]["n"]


def test_nothing_is_in_flight_when_all_is_over(watched: Watched) -> None:
    watched.house.settled()
    for _ in eventually(10):
        left = [watched.total(f"neuronetz_{name}") for name in ("in_flight", "slots", "waiting", "holds_open")]
        if left == [0, 0, 0, 0]:
            break

    assert watched.total("neuronetz_backend_up") == 1
    assert watched.total("neuronetz_key_checks_total", answered_by="memory") > 0
    assert watched.total("neuronetz_argon2_verifications_total") > 0
    assert watched.total("neuronetz_postgres_connected") == watched.total("neuronetz_redis_connected") == 1


def test_a_call_in_flight_is_seen(watched: Watched) -> None:
    key = watched.house.new_key()
    watched.house.simulator.behave({"behaviour": {"first_byte_delay_s": 3}, "times": 1})
    with socket.create_connection(("127.0.0.1", watched.house.gateways[0].port)) as connection:
        body = json.dumps(CHAT).encode()
        head = f"POST /api/chat HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {key.text}\r\nContent-Length: {len(body)}"
        connection.sendall(f"{head}\r\n\r\n".encode() + body)
        for _ in eventually(10):
            seen = [watched.total(f"neuronetz_{name}") for name in ("in_flight", "slots", "holds_open")]
            if seen == [1, 1, 1] and watched.total("neuronetz_backend_in_flight", backend="default") == 1:
                break


def test_nothing_a_caller_writes_makes_a_new_series(watched: Watched) -> None:
    key = watched.house.new_key()
    hostile = ["evil\n# HELP x", "sim-chat:other", 'a"b\\c{}', "x" * 500, "☃", "../../etc", *map(str, range(8))]
    for name in hostile[:2]:  # the series of these codes and routes
        provoke(watched, key, name)
    for _ in eventually(10):
        if watched.codes() == watched.told:
            break
    before = {name: set(series) for name, series in watched.scrape().items()}

    for name in hostile[2:]:
        provoke(watched, key, name)

    after = {name: set(series) for name, series in watched.scrape().items()}
    assert after == before
    text = watched.client.get(f"{watched.url}/metrics").text
    assert "evil" not in text and "etc" not in text and "x" * 50 not in text
    assert key.tenant_id not in text and key.prefix not in text and key.tenant not in text


def provoke(watched: Watched, key: Key, name: str) -> None:
    for path in ("/api/chat", "/v1/chat/completions"):
        watched.ask("POST", path, key, json={**CHAT, "model": name})
        watched.ask("POST", path, key, json={**CHAT, name: 1, "temperature": name})
    quoted = httpx.URL("http://g/", params={"x": name}).query.decode().removeprefix("x=")
    watched.ask("GET", f"/{quoted}", key)
    watched.ask("BREW", "/api/chat", key)
    watched.ask("POST", "/api/chat", headers={"x-api-key": f"nz_{quoted}"}, json=CHAT)


def test_every_number_is_documented_and_every_documented_one_is_there(watched: Watched) -> None:
    scraped = {re.sub(r"_(bucket|sum|count)$", "", name) for name in watched.scrape()}

    assert scraped == set(documented()) - ONLY_IN_TROUBLE


# -- where they are fetched -----------------------------------------------------------------------------------------


def test_the_gateways_own_port_has_no_metrics(watched: Watched) -> None:
    assert watched.ask("GET", "/metrics").status_code == 404


def test_a_taken_port_is_one_sentence_and_no_traceback(watched: Watched, tmp_path: Path) -> None:
    environ = {**watched.house.environ, "METRICS_BIND": watched.url.removeprefix("http://")}

    done = cli(environ, tmp_path, "serve", "--host", "127.0.0.1", "--port", str(free_port()))

    assert done.returncode == 1
    assert "cannot be listened on" in done.stderr and "set it to off" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_off_means_no_listener_and_nothing_of_traces_loaded(watched: Watched) -> None:
    quiet: Gateway = watched.house.add_gateway(METRICS_BIND="off")
    quiet.wait_ready()
    try:
        assert listening_ports(quiet.pid) == {quiet.port}
        loaded = Path(f"/proc/{quiet.pid}/maps").read_text()
        assert "psycopg" in loaded and "google/_upb" not in loaded  # protobuf, which OTLP needs
    finally:
        quiet.stop()


def listening_ports(pid: int) -> set[int]:
    """TCP ports that a process listens on, by the system's own account (proc(5))."""
    links = []
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            links.append(str(file.readlink()))
    own = {link.removeprefix("socket:[").rstrip("]") for link in links if link.startswith("socket:[")}
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return {int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A" and row[9] in own}


# -- dashboard and rules --------------------------------------------------------------------------------------------

_SELECTOR = re.compile(r"\b((?:neuronetz|gen_ai|process)_[a-z_0-9]+)\b(?:\{([^}]*)\})?")
_BY = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")
_ADDED = {"job", "instance", "process"}
"""By Prometheus, and by the parent of several processes."""


def dashboard_expressions() -> Sequence[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", [])]


def rules() -> Sequence[Mapping[str, Any]]:
    """As promtool's own reader would see them; our rules keep to the YAML that this finds."""
    found = re.findall(
        r"- alert: (\w+)\n +expr: (\|\n(?: {10}[^\n]*\n)+|[^\n]*\n)(.*?)(?=\n +- alert|\Z)",
        RULES.read_text(),
        re.DOTALL,
    )
    return [{"name": name, "expr": expr.removeprefix("|").strip(), "rest": rest} for name, expr, rest in found]


def named_in(expression: str) -> Iterator[tuple[str, set[str]]]:
    """Metrics in an expression with the labels that are asked of each."""
    grouped = {label.strip() for inside in _BY.findall(expression) for label in inside.split(",")}
    for name, inside in _SELECTOR.findall(_BY.sub("", expression)):
        asked = {matcher.split("=")[0].rstrip("!").strip() for matcher in inside.split(",") if matcher.strip()}
        yield name, (asked | grouped) - _ADDED


@pytest.mark.parametrize("source", ["dashboard", "rules"])
def test_every_name_and_label_that_is_asked_for_is_there(watched: Watched, source: str) -> None:
    scraped = watched.scrape_of_parent()
    expressions = dashboard_expressions() if source == "dashboard" else [rule["expr"] for rule in rules()]
    asked = [(name, labels) for expression in expressions for name, labels in named_in(expression)]

    assert len(asked) >= len(expressions) - 1  # all but `up`, which Prometheus adds
    for name, labels in asked:
        if name in ONLY_IN_TROUBLE:
            continue
        assert name in scraped, name
        assert any(labels <= dict(series).keys() for series in scraped[name]), (name, labels)


def test_the_dashboard_tells_the_processes_of_one_listener_apart() -> None:
    grouped = [_BY.findall(expression) for expression in dashboard_expressions()]
    labels = [{label.strip() for label in inside.split(",")} for found in grouped for inside in found]

    assert [found for found in labels if "instance" in found and "process" not in found] == []


def test_every_code_in_a_rule_is_one_of_ours() -> None:
    codes = {code.value for code in (*Code, *FaultCode)}
    named = {
        code for rule in rules() for found in re.findall(r'code=~?"([^"]+)"', rule["expr"]) for code in found.split("|")
    }

    assert named
    assert named <= codes


def test_every_rule_says_what_is_wrong_and_where_to_read_on() -> None:
    assert len(rules()) == RULES.read_text().count("- alert:")
    for rule in rules():
        for word in ("summary: ", "description: ", "severity: "):
            assert word in rule["rest"], rule["name"]
        assert f"runbook: docs/DEPLOYMENT.md#alarm-{rule['name'].lower()}" in rule["rest"], rule["name"]


def test_every_alarm_has_its_paragraph() -> None:
    deployment = (ROOT / "docs" / "DEPLOYMENT.md").read_text()

    for rule in rules():
        assert f"### Alarm: {rule['name']}\n" in deployment


def _needed(program: str, package: str) -> str:
    found = shutil.which(program)
    if found is None and os.environ.get("CI") == "true":
        pytest.fail(f"{program} must be there under CI: apt-get install {package}")
    if found is None:
        pytest.skip(f"{program} is not here: apt-get install {package}")
    return found


def test_promtool_takes_the_rules_and_they_fire_when_they_should() -> None:
    promtool = _needed("promtool", "prometheus")
    for arguments in (["check", "rules", str(RULES)], ["test", "rules", str(OBSERVABILITY / "alerts_test.yaml")]):
        done = subprocess.run([promtool, *arguments], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_rule_has_a_case_in_which_it_fires() -> None:
    cases = (OBSERVABILITY / "alerts_test.yaml").read_text()

    assert {rule["name"] for rule in rules()} == set(re.findall(r'alertname="(\w+)"', cases))


@pytest.fixture
def prometheus(watched: Watched, tmp_path: Path) -> Iterator[str]:
    """A real Prometheus that has scraped the gateway a few times."""
    program = _needed("prometheus", "prometheus")
    port = free_port()
    config = tmp_path / "prometheus.yaml"
    config.write_text(
        f"global: {{scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 500ms}}\n"
        f"rule_files: [{RULES}]\n"
        "scrape_configs:\n"
        f"  - {{job_name: neuronetz-gateway, static_configs: [{{targets: [{watched.url.removeprefix('http://')!r}]}}]}}\n"
    )
    log = (tmp_path / "log").open("wb")
    child = subprocess.Popen(
        [
            program,
            f"--config.file={config}",
            f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stdout=log,
        stderr=log,
    )
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in eventually(20):
            if child.poll() is not None:
                raise AssertionError((tmp_path / "log").read_text())
            if answers(url, "count_over_time(neuronetz_build_info[1m]) > 3"):
                break
        yield url
    finally:
        child.terminate()
        child.wait(10)
        log.close()


def answers(url: str, expression: str) -> Sequence[Any]:
    try:
        answer = httpx.get(f"{url}/api/v1/query", params={"query": expression}, timeout=10)
    except httpx.TransportError:
        return []
    if answer.status_code == 503:  # not ready yet
        return []
    assert answer.status_code == 200, (expression, answer.text)
    return list(answer.json()["data"]["result"])


def test_a_real_prometheus_takes_all_of_it(prometheus: str, watched: Watched) -> None:
    """Every panel has something to show, and every rule can be evaluated."""
    watched.ask("POST", "/api/chat", watched.house.new_key(), json=CHAT)
    meant = {"$__rate_interval": "1m", "$__range": "1m", "$job": ".*", "$instance": ".*"}
    of_parent = samples_in(merged({}, running=0, restarts=0).decode())  # there is none here: nothing to show
    for expression in dashboard_expressions():
        plain = expression
        for variable, value in meant.items():
            plain = plain.replace(variable, value)
        found = answers(prometheus, plain)
        assert found or "> 0" in plain or {name for name, _ in named_in(expression)} <= of_parent.keys(), plain
    states: dict[str, tuple[str, str]] = {}
    for _ in eventually(10):
        groups = httpx.get(f"{prometheus}/api/v1/rules", timeout=10).json()["data"]["groups"]
        states = {rule["name"]: (rule["health"], rule["state"]) for group in groups for rule in group["rules"]}
        if {health for health, _ in states.values()} == {"ok"}:
            break
    assert states.keys() == {rule["name"] for rule in rules()}
    assert {state for _, state in states.values()} == {"inactive"}
