"""The state of one simulated server: what is installed, loaded, scripted and remembered.

Nothing here is global: two worlds in one program are two servers. A `World` must be made before the server starts and
used from one event loop only.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import attrs

from entrypoints.simulator.behaviours import HEALTHY, Behaviour, Script
from entrypoints.simulator.log import Entry, TruthLog
from entrypoints.simulator.models import DEFAULT_MODELS, Model, canonical
from entrypoints.simulator.replay import Recording, read_recording
from entrypoints.simulator.runners import Runners


@attrs.frozen(kw_only=True)
class Settings:
    """How the simulated server is set up; delays in seconds, lengths in tokens.

    Args:
        version: what `/api/version` says.
        models: what is installed.
        tokens: natural length of an answer, where the model has none of its own.
        token_delay_s: time to generate one token.
        prompt_delay_s_per_token: time to evaluate one token of the prompt.
        load_delay_s: time to load a model.
        resets_cost_slots: a reset while generating takes a slot for ever, until a restart (Ollama issue #17131).
        num_parallel: slots per runner (OLLAMA_NUM_PARALLEL; Ollama's default is 1).
        max_queue: requests that may wait for a load (OLLAMA_MAX_QUEUE).
        keep_alive_s: idle time before an unload (OLLAMA_KEEP_ALIVE).
        context_length: context of a loaded model (OLLAMA_CONTEXT_LENGTH), at most its trained length.
        recordings_dir: where `Behaviour.replay` finds its tapes.
        log_path: file of the log of truth; None keeps it in memory.
        log_tokens_per_line: a line for every so many tokens produced; 0 for none.
        keep_entries: newest log entries kept in memory.
        check_host: refuse foreign Host and Origin headers, as Ollama does when bound to loopback.
    """

    version: str = "0.33.0"
    models: tuple[Model, ...] = DEFAULT_MODELS
    tokens: int = 24
    token_delay_s: float = 0.0
    prompt_delay_s_per_token: float = 0.0
    load_delay_s: float = 0.0
    resets_cost_slots: bool = False
    num_parallel: int = 4
    max_queue: int = 512
    keep_alive_s: float = 300.0
    context_length: int = 4096
    recordings_dir: Path | None = None
    log_path: Path | None = None
    log_tokens_per_line: int = 1
    keep_entries: int = 100_000
    check_host: bool = True


_MAX_SPELLINGS = 1000  # a bound, should a caller invent spellings


class World:
    """One simulated server's state."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.log = TruthLog(
            self.settings.log_path,
            keep_entries=self.settings.keep_entries,
            tokens_per_line=self.settings.log_tokens_per_line,
        )
        self.runners = Runners(
            num_parallel=self.settings.num_parallel,
            max_queue=self.settings.max_queue,
            load_delay_s=self.settings.load_delay_s,
            keep_alive_s=self.settings.keep_alive_s,
        )
        self.stopping = False
        self.count_connections: Callable[[], int] = lambda: 0
        self.in_flight: Counter[str] = Counter()
        self._idle = asyncio.Event()
        self._idle.set()
        self._models = {canonical(model.name): model for model in self.settings.models}
        self._found: dict[str, Model] = {}
        self._scripts: list[tuple[Script, list[int | None]]] = []
        self._recordings: dict[str, Recording] = {}

    def model(self, spelling: str) -> Model | None:
        """Return the installed model that a name reaches, or None."""
        model = self._found.get(spelling)
        if model is None:
            model = self._models.get(canonical(spelling))
            if model is not None and len(self._found) < _MAX_SPELLINGS:
                self._found[spelling] = model
        return model

    def script(
        self, behaviour: Behaviour, *, model: str | None = None, path: str | None = None, times: int | None = None
    ) -> None:
        """Give a behaviour to coming requests; of several scripts that fit, the oldest is used."""
        self.add_script(Script(behaviour=behaviour, model=model, path=path, times=times))

    def add_script(self, script: Script) -> None:
        """As `script`, with the value ready-made; raises FileNotFoundError for a tape that is not there."""
        if script.behaviour.replay is not None:
            self.recording(script.behaviour.replay)
        self._scripts.append((script, [script.times]))

    def clear_scripts(self) -> None:
        """Make every coming request healthy."""
        self._scripts.clear()

    def scripts(self) -> Iterable[Script]:
        """Return the scripts in force, `times` being what is left."""
        return [attrs.evolve(script, times=left[0]) for script, left in self._scripts]

    def behaviour_for(self, *, path: str, model: str, is_inference: bool) -> Behaviour:
        """Take the behaviour for a request; one with a number of times is used up by this."""
        for position, (script, left) in enumerate(self._scripts):
            if script.fits(path=path, model=model, is_inference=is_inference):
                if left[0] is not None:
                    left[0] -= 1
                    if not left[0]:
                        del self._scripts[position]
                return script.behaviour
        return HEALTHY

    def recording(self, name: str) -> Recording:
        """Return a tape by its name without suffix; raises FileNotFoundError."""
        if name not in self._recordings:
            if self.settings.recordings_dir is None:
                raise FileNotFoundError("no recordings_dir is set")
            self._recordings[name] = read_recording(self.settings.recordings_dir / f"{Path(name).name}.json")
        return self._recordings[name]

    def entries(self) -> list[Entry]:
        """Return the log of truth as kept in memory, oldest first."""
        return list(self.log.entries)

    def began(self, model: str) -> None:
        """Count a request in."""
        self.in_flight[model] += 1
        self._idle.clear()

    def finished(self, model: str) -> None:
        """Count a request out."""
        self.in_flight[model] -= 1
        if not self.in_flight[model]:
            del self.in_flight[model]
        if not self.in_flight:
            self._idle.set()

    async def until_idle(self, *, timeout_s: float = 5.0) -> None:
        """Wait until no request is in flight; raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            await self._idle.wait()
