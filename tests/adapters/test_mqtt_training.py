"""A device that learns is trained from afar, and every update happens exactly once, whatever the network does."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from brokers import BrokerProcess, Mosquitto
from fault_proxy import FaultProxy
from linear_learner import LinearLearner

from inmateria.adapters import DeviceServer, RemoteSubstrate, SimulatedSubstrate
from inmateria.reservoir import ContrastiveClassifier, ContrastiveRegressor
from inmateria.simulators import ContrastiveNetwork

LOSSY = {"drop": 0.03, "double": 0.05, "overtaken": 0.05}
XOR = np.array([[0, 0], [0, 0.45], [0.45, 0], [0.45, 0.45]]), np.array([0, -0.087, -0.087, 0])
X = np.random.default_rng(0).uniform(-0.8, 0.8, (20, 2))
Y = X @ [0.5, 0.2]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerProcess]:
    """Run a real Mosquitto in a process of its own."""
    started = Mosquitto(tmp_path)
    yield started
    started.kill()


@asynccontextmanager
async def served(
    simulator: Any, broker: BrokerProcess, faults: dict[str, Any] | None = None
) -> AsyncIterator[tuple[RemoteSubstrate, list[FaultProxy]]]:
    """Serve a device behind the broker and open it from afar; with faults on both ways there."""
    async with AsyncExitStack() as exits:
        uris, proxies = [broker.uri, broker.uri], []
        if faults is not None:
            proxies = [await exits.enter_async_context(FaultProxy(broker.port, seed=seed, **faults)) for seed in (1, 2)]
            uris = [proxy.uri for proxy in proxies]
        await exits.enter_async_context(DeviceServer(SimulatedSubstrate(simulator), uris[0], name="learner", lease=60))
        remote = RemoteSubstrate(f"{uris[1]}/lab/learner", timeout=60, connect_timeout=10)
        yield await exits.enter_async_context(remote), proxies


async def train_while_the_broker_dies(model: Any, given: tuple[Any, Any], broker: BrokerProcess, at: set[int]) -> int:
    """Fit, with the broker killed and started again after stimuli of these numbers; return how often it was."""
    moments: asyncio.Queue[None] = asyncio.Queue()
    restarted = 0

    async def kill() -> None:
        nonlocal restarted
        while True:
            await moments.get()
            await asyncio.to_thread(broker.kill)
            await asyncio.to_thread(broker.start)
            restarted += 1

    killer = asyncio.create_task(kill())
    try:
        await model.fit_async(*given, lambda phase, done, *_: done in at and moments.put_nowait(None))
    finally:
        killer.cancel()
    return restarted


async def test_a_training_during_which_the_broker_dies_three_times_is_that_of_an_undisturbed_device(
    broker: BrokerProcess,
) -> None:
    alone, device = LinearLearner(), LinearLearner()
    undisturbed = ContrastiveRegressor(alone, epochs=100, rate=(1.0, 0.1), batch=10).fit(X, Y)
    async with served(device, broker) as (remote, _):
        model = ContrastiveRegressor(remote, epochs=100, rate=(1.0, 0.1), batch=10)
        assert await train_while_the_broker_dies(model, (X, Y), broker, {20, 80, 150}) == 3
        assert (await model.predict_async(X) == undisturbed.predict(X)).all()
    assert (device.conductance == alone.conductance).all()
    assert device.updates == model.updates_ == alone.updates == 2000
    assert np.concatenate(device.applied).tobytes() == np.concatenate(alone.applied).tobytes()
    assert model.learning_curve_.tobytes() == undisturbed.learning_curve_.tobytes()
    assert model.energy_ == undisturbed.energy_


async def test_messages_that_are_lost_doubled_and_overtaken_change_no_edge(broker: BrokerProcess) -> None:
    alone, device = LinearLearner(), LinearLearner()
    undisturbed = ContrastiveRegressor(alone, epochs=30, batch=10).fit(X, Y)
    async with served(device, broker, LOSSY) as (remote, proxies):
        model = ContrastiveRegressor(remote, epochs=30, batch=10)
        await model.fit_async(X, Y)
        assert sum(proxy.faults for proxy in proxies) >= 5
    assert (device.conductance == alone.conductance).all()
    assert device.updates == model.updates_ == 600
    assert model.learning_curve_.tobytes() == undisturbed.learning_curve_.tobytes()


async def test_by_its_uri_from_code_without_await(broker: BrokerProcess) -> None:
    device = LinearLearner(outputs=2)
    async with DeviceServer(SimulatedSubstrate(device), broker.uri, name="learner") as server:
        model = ContrastiveClassifier(server.uri, epochs=20)
        classes = X[:, 0] > 0
        await asyncio.to_thread(model.fit, X, classes)
        assert model.substrate_ == server.uri
        assert await asyncio.to_thread(model.score, X, classes) > 0.8
    assert device.updates == 400


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("rule", ["", "&rule.update_probability=0.5&imperfections.noise=1e-4"], ids=["ideal", "random"])
async def test_a_network_of_transistors_is_trained_to_the_bit_through_deaths_and_losses(
    rule: str, broker: BrokerProcess
) -> None:
    from inmateria.adapters.uri import simulator_from_uri

    made: list[Any] = [simulator_from_uri(f"clln://?seed=1&rule.eta=0.1&rule.alpha=2{rule}") for _ in range(2)]
    alone, device = made
    settings: dict[str, Any] = {"epochs": 10_000, "input_range": "volts", "label_range": "volts", "batch": 100}
    undisturbed = ContrastiveRegressor(alone, **settings).fit(*XOR)
    async with served(device, broker, {**LOSSY, "reset_every": 150}) as (remote, proxies):
        model = ContrastiveRegressor(remote, **settings)
        assert await train_while_the_broker_dies(model, XOR, broker, {30, 90, 150, 210, 270, 330}) == 6
        assert sum(proxy.faults for proxy in proxies) >= 50
    assert isinstance(device, ContrastiveNetwork)
    assert (device.weights == alone.weights).all()
    assert (device.energy, device.clock) == (alone.energy, alone.clock)
    assert model.updates_ == undisturbed.updates_ == 40_000
    assert rule or undisturbed.learning_curve_[-1] < 5e-3
