"""What every board does. A test module subclasses the contract and gives it a `board`."""

from __future__ import annotations

import secrets

from domain.ports.wedge_board import Runner, WedgeBoard


def a_runner() -> Runner:
    return Runner(f"gpu-{secrets.token_hex(4)}", "registry.ollama.ai/library/llama3.2:1b")


class WedgeBoardContract:
    async def test_nothing_is_said_of_a_runner_that_nobody_has_looked_at(self, board: WedgeBoard) -> None:
        assert a_runner() not in await board.read()

    async def test_the_last_word_stands(self, board: WedgeBoard) -> None:
        one, two = a_runner(), a_runner()

        board.found_wedged(one)
        board.found_wedged(two)
        board.found_well(two)
        said = await board.read()
        board.found_wedged(two)

        assert (said[one], said[two]) == (True, False)
        assert (await board.read())[two]

    async def test_who_goes_on_keeping_calls_away_overrules_nobody_who_saw_it_well(self, board: WedgeBoard) -> None:
        well, forgotten = a_runner(), a_runner()
        board.found_well(well)

        board.still_wedged(well)
        board.still_wedged(forgotten)

        said = await board.read()
        assert (said[well], said[forgotten]) == (False, True)

    async def test_one_of_all_probes_at_a_time(self, board: WedgeBoard) -> None:
        one, two = a_runner(), a_runner()

        assert [await board.may_probe(one, 30) for _ in range(3)] == [True, False, False]
        assert await board.may_probe(two, 30)
