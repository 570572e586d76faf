"""A simulator in process never blocks the event loop for long, and is never moved by two threads."""

import asyncio
import threading

import numpy as np
import pytest
from leaky import LeakySimulator

from inmateria.adapters import SimulatedSubstrate
from inmateria.substrate import Response, Stimulus, SubstrateError


class SlowSimulator(LeakySimulator):
    """Does not answer before it is let go, and notes whether two threads were ever inside."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = 0
        self.crowded = False
        self.begun = threading.Event()
        self.let_go = threading.Event()

    def advance(self, stimulus: Stimulus) -> Response:
        self.inside += 1
        self.crowded |= self.inside > 1
        self.begun.set()
        assert self.let_go.wait(10)
        self.inside -= 1
        return super().advance(stimulus)


QUIET = Stimulus(np.zeros((1, 3)), 0.01)


async def test_the_loop_goes_on_while_a_long_exchange_runs() -> None:
    simulator = SlowSimulator()
    substrate = SimulatedSubstrate(simulator)
    exchange = asyncio.create_task(substrate.stimulate(QUIET))
    await asyncio.to_thread(simulator.begun.wait)
    simulator.let_go.set()  # reached while the simulator is inside: the loop was not blocked
    assert (await exchange).sequence == 0


async def test_exchanges_take_turns() -> None:
    simulator = SlowSimulator()
    substrate = SimulatedSubstrate(simulator)
    exchanges = [asyncio.create_task(substrate.stimulate(QUIET)) for _ in range(5)]
    await asyncio.to_thread(simulator.begun.wait)
    simulator.let_go.set()
    assert [(await exchange).sequence for exchange in exchanges] == list(range(5))
    assert not simulator.crowded


async def test_a_cancelled_exchange_runs_to_its_end_before_the_next_begins() -> None:
    simulator = SlowSimulator()
    substrate = SimulatedSubstrate(simulator)
    exchange = asyncio.create_task(substrate.stimulate(QUIET))
    await asyncio.to_thread(simulator.begun.wait)
    exchange.cancel()
    following = asyncio.create_task(substrate.stimulate(QUIET))
    await asyncio.sleep(0)
    assert simulator.inside == 1
    simulator.let_go.set()
    with pytest.raises(asyncio.CancelledError):
        await exchange
    assert (await following).sequence == 1
    assert not simulator.crowded


async def test_what_cannot_return_to_rest_says_so() -> None:
    simulator = LeakySimulator()
    fields = {name: getattr(simulator.info, name) for name in simulator.info.__struct_fields__}
    simulator.info = type(simulator.info)(**{**fields, "resettable": False})
    with pytest.raises(SubstrateError, match="does not do so on command"):
        await SimulatedSubstrate(simulator).reset()
