"""`python -m tests.strangers`: 60,000 bad keys, what they cost, and what can be learnt from how long a 401 takes.

It needs a machine that does nothing else. Figures are also recorded where `FIGURES_FILE` says.
"""

from __future__ import annotations

import asyncio
import json
import time
from concurrent.futures import ProcessPoolExecutor
from statistics import median

import click

from tests.bench.accounts import of_program
from tests.bench.load import Block, Target, constant_load
from tests.bench.stage import make_keys as new_keys
from tests.bench.stage import metrics_address, open_stage, tenants
from tests.e2e.house import House
from tests.e2e.programs import Gateway
from tests.figures.record import record
from tests.figures.table import Figure
from tests.strangers.bad_keys import bad_keys, chance
from tests.strangers.crowd import REFUSED, Crowd
from tests.strangers.timing import measured
from tests.strangers.toll import cost_since, toll

_VALID_PER_S = 50
_MOST_GROWTH = 0.20
_MOST_APART_US = 50.0


def pelt(url: str, good: str, per_s: float, for_s: float, seed: int) -> tuple[int, float]:
    """A crowd in a process of its own; returns how many it sent and the CPU seconds that it took itself."""

    async def send() -> int:
        crowd, stop = Crowd(url, bad_keys(good, chance(seed))), asyncio.Event()
        asyncio.get_running_loop().call_later(for_s, stop.set)
        await crowd.at_pace(per_s, stop)
        await crowd.aclose()
        if set(crowd.told) != {REFUSED}:
            raise AssertionError(f"bad keys were told {dict(crowd.told)}")
        return crowd.told.total()

    sent = asyncio.run(send())
    return sent, time.process_time()


def flood(house: House, gateway: Gateway, metrics_url: str, good: str, count: int) -> bool:
    """All of them as fast as they are answered; says whether they cost nothing dear and are all on record."""
    before = toll(house, metrics_url, gateway.pid)

    async def send() -> Crowd:
        crowd = Crowd(house.url, bad_keys(good, chance(17)))
        await crowd.send(count)
        await crowd.aclose()
        return crowd

    crowd = asyncio.run(send())
    cost = cost_since(before, house, metrics_url, gateway.pid, count)
    click.echo(f"{count} bad keys: {cost}")
    record(Figure.STRANGERS_ARGON2, str(cost.argon2), good=cost.argon2 == 0, how=f"{count} bad keys of five kinds")
    dear = (cost.argon2, cost.looked_up, cost.redis_reads)
    return dear == (0, 0, 0) and cost.refused == count and crowd.told == {REFUSED: count}


def load(house: House, gateway: Gateway, other: Gateway, good: str, *, per_s: float, for_s: float, pairs: int) -> bool:
    """Valid calls at a constant pace in blocks. In every other one the crowd pelts the gateway that serves them; in
    the rest it pelts another one, so that the machine, which strangers do not come with, has the same to do.
    """
    target, accounts = Target(house.url, [good]), {"gateway": of_program(gateway.pid)}

    def block(pelted: Gateway, seed: int) -> tuple[Block, int, float]:
        with ProcessPoolExecutor(1) as crowd:
            pelting = crowd.submit(pelt, pelted.url, good, per_s, for_s + 1, seed)
            time.sleep(0.5)
            seen = asyncio.run(constant_load(target, accounts, kind="native", per_s=_VALID_PER_S, for_s=for_s))
            return seen, *pelting.result()

    block(other, pairs)
    growths = []
    for number in range(pairs):
        alone, _, _ = block(other, number)
        beset, sent, crowd_cpu_s = block(gateway, number)
        growths.append(beset.first_byte_ms(0.99) / alone.first_byte_ms(0.99) - 1)
        click.echo(
            f"valid at {_VALID_PER_S}/s: p50 {alone.first_byte_ms(0.5):.1f} -> {beset.first_byte_ms(0.5):.1f} ms, "
            f"p99 {alone.first_byte_ms(0.99):.1f} -> {beset.first_byte_ms(0.99):.1f} ms under "
            f"{sent / (for_s + 1):.0f} bad keys/s; gateway {alone.cpu_s['gateway'] / for_s:.0%} -> "
            f"{beset.cpu_s['gateway'] / for_s:.0%} of a core, the crowd itself {crowd_cpu_s / (for_s + 1):.0%}"
        )
    growth = median(growths)
    record(Figure.STRANGERS_P99, f"{growth:+.0%}", good=growth <= _MOST_GROWTH, how=f"{pairs} pairs of {for_s:.0f} s")
    click.echo(f"p99 grows by {growth:+.0%} (median of {pairs} pairs)")
    return growth <= _MOST_GROWTH


def timing(house: House, good: str, rounds: int) -> bool:
    """What a stopwatch says of the five kinds."""
    found = measured(house.url, good, rounds)
    for (one, other), apart in found.items():
        click.echo(
            f"{one} / {other}: {apart.median:+.1f} us ({apart.low:+.1f} to {apart.high:+.1f}), Wilcoxon p {apart.p:.3g}"
        )
    widest = max(max(abs(apart.low), abs(apart.high)) for apart in found.values())
    good_ = all(apart.within(_MOST_APART_US) for apart in found.values())
    record(Figure.TIMING, f"{widest:.1f} us", good=good_, how=f"{rounds} pairs of each of {len(found)} pairs of kinds")
    return good_


@click.command()
@click.option("--count", default=60_000, show_default=True, help="Bad keys of the flood.")
@click.option("--per-s", default=2_000.0, show_default=True, help="Bad keys a second beside valid calls.")
@click.option("--for-s", default=20.0, show_default=True, help="Length of one block.")
@click.option("--pairs", default=3, show_default=True, help="Pairs of blocks, with the crowd elsewhere and here.")
@click.option("--rounds", default=5_000, show_default=True, help="Pairs of each comparison of times.")
def main(count: int, per_s: float, for_s: float, pairs: int, rounds: int) -> None:
    """Tells what strangers cost."""
    metrics_url, settings = metrics_address()
    with open_stage("--token-delay-ms", "0") as stage:
        house = stage.house
        gateway, other = house.add_gateway(**settings), house.add_gateway()
        gateway.wait_ready()
        other.wait_ready()
        good = new_keys(house, tenants(1))[0].text
        held = {
            "flood": flood(house, gateway, metrics_url, good, count),
            "load": load(house, gateway, other, good, per_s=per_s, for_s=for_s, pairs=pairs),
            "timing": timing(house, good, rounds),
        }
    click.echo(json.dumps(held))
    if not all(held.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
