"""Remote control under `/_sim/`, for tests that talk to a simulator in another program. Never in the log.

GET    /_sim/log[?reset=1]   {"entries": [...]}: every request so far; reset forgets those that have ended
GET    /_sim/state           in flight and slots per model, load queue, open connections, scripts in force
POST   /_sim/behaviour       {"behaviour": {...}, "model": null, "path": null, "times": null}: see `behaviours`
DELETE /_sim/behaviour       every coming request is healthy again
POST   /_sim/reset           clears scripts, finished entries, idle runners (lost slots are whole again)
"""

from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web

from entrypoints.simulator.behaviours import Script
from entrypoints.simulator.world import World

PREFIX = "/_sim/"


async def control(world: World, request: web.Request) -> web.Response:
    """Answer a control request."""
    match request.method, request.path.removeprefix(PREFIX):
        case "GET", "log":
            answer = _json({"entries": [entry.as_json() for entry in world.entries()]})
            if request.query.get("reset") == "1":
                world.log.forget()
            return answer
        case "GET", "state":
            return _json(_state(world))
        case "POST", "behaviour":
            return await _add_script(world, request)
        case "DELETE", "behaviour":
            world.clear_scripts()
            return _json({})
        case "POST", "reset":
            world.clear_scripts()
            world.log.forget()
            world.runners.reset()
            return _json({})
        case _:
            return _json({"error": "no such control"}, HTTPStatus.NOT_FOUND)


async def _add_script(world: World, request: web.Request) -> web.Response:
    try:
        world.add_script(Script.from_json(await request.read()))
    except (ValueError, FileNotFoundError) as wrong:
        return _json({"error": str(wrong)}, HTTPStatus.BAD_REQUEST)
    return _json({})


def _state(world: World) -> dict[str, Any]:
    runners = world.runners.by_digest.values()
    return {
        "in_flight": dict(world.in_flight),
        "slots_taken": {runner.model.name: runner.slots_taken for runner in runners},
        "slots_waiting": {runner.model.name: runner.slots.waiting for runner in runners},
        "loaded": [runner.model.name for runner in runners if runner.is_loaded()],
        "load_waiting": world.runners.load_waiting,
        "open_connections": world.count_connections(),
        "scripts": [
            {
                "behaviour": script.behaviour.oddities(),
                "model": script.model,
                "path": script.path,
                "times": script.times,
            }
            for script in world.scripts()
        ],
    }


def _json(value: Any, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(value), content_type="application/json")
