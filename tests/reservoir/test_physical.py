"""A reservoir around a substrate: masks, virtual nodes, washout, closed loops, and the face without await."""

import asyncio

import numpy as np
import pytest
from leaky import LeakySimulator
from sklearn.linear_model import Ridge

from inmateria.adapters import SimulatedSubstrate
from inmateria.reservoir import InputMask, OneToOne, PhysicalReservoir, SpikeCounts, VirtualNodes
from inmateria.substrate import Stimulus, StimulusRejected


def substrate(**options: int | bool) -> SimulatedSubstrate:
    return SimulatedSubstrate(LeakySimulator(**options))  # type: ignore[arg-type]


def series(steps: int = 30, features: int = 2, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.3, 0.3, (steps, features))


async def test_features_are_the_simulators_samples_under_the_mask() -> None:
    u, mask = series(), InputMask(scale=0.5, seed=3)
    async with PhysicalReservoir(substrate(), mask) as reservoir:
        X = await reservoir.run(u)
        assert reservoir.feature_names == [f"o{k}@0.{s}" for s in range(2) for k in range(4)]
    drive = 0.5 * u @ mask.mask(2, 3)[0].T
    signal = LeakySimulator().advance(Stimulus(drive, 0.01)).signal
    assert signal is not None
    assert np.array_equal(X, signal.reshape(30, 8))


async def test_mask_positions_become_virtual_nodes() -> None:
    u, mask = series(), InputMask(scale=0.5, positions=3, kind="uniform")
    async with PhysicalReservoir(substrate(), mask, VirtualNodes(samples=1)) as reservoir:
        X = await reservoir.run(u)
        assert len(reservoir.feature_names) == X.shape[1] == 3 * 4
        drive = reservoir.encode(u)
    assert drive.shape == (90, 3)
    signal = LeakySimulator().advance(Stimulus(drive, 0.01)).signal
    assert signal is not None
    assert np.array_equal(X, signal[:, -1].reshape(30, 12))


async def test_steps_one_at_a_time_equal_a_whole_run() -> None:
    u = series()
    async with PhysicalReservoir(substrate(), InputMask(scale=0.5)) as reservoir:
        whole = await reservoir.run(u)
        await reservoir.reset()
        single = np.stack([await reservoir.step(row) for row in u])
    assert np.array_equal(whole, single)


async def test_a_long_run_in_chunks_equals_one_stimulus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inmateria.reservoir.physical._CHUNK_VALUES", 40)
    u = series(101)
    simulator = LeakySimulator()
    async with PhysicalReservoir(SimulatedSubstrate(simulator), InputMask(scale=0.5, positions=2)) as reservoir:
        X = await reservoir.run(u)
    assert len(simulator.applied) > 20
    monkeypatch.undo()
    async with PhysicalReservoir(substrate(), InputMask(scale=0.5, positions=2)) as reservoir:
        assert np.array_equal(await reservoir.run(u), X)


async def test_washout_leaves_out_the_beginning() -> None:
    u = series()
    async with (
        PhysicalReservoir(substrate(), OneToOne()) as whole,
        PhysicalReservoir(substrate(), OneToOne(), washout=7) as washed,
    ):
        assert np.array_equal((await whole.run(u))[7:], await washed.run(u))


async def test_a_stream_of_series_rests_between_them() -> None:
    many = [series(5, seed=k) for k in range(6)]
    simulator = LeakySimulator()
    async with PhysicalReservoir(SimulatedSubstrate(simulator), OneToOne(), rest=0.5) as reservoir:
        got = [X async for X in reservoir.stream(many)]
        assert reservoir.steps_of(many[0]) == 55
    assert [X.shape for X in got] == [(5, 8)] * 6
    assert all(np.array_equal(drive[5:], np.zeros((50, 3))) for drive in simulator.applied)
    # 100 samples of rest leave 0.9 ** 100 = 3e-5 of what was: the same series gives nearly the same again.
    async with PhysicalReservoir(substrate(), OneToOne(), rest=0.5) as reservoir:
        first, again = [X async for X in reservoir.stream([many[0], many[0]])]
    assert first == pytest.approx(again, abs=1e-3)


async def test_spike_counts_count_every_spike_once() -> None:
    u = np.full((40, 1), 1.0)
    simulator = LeakySimulator(spiking=True)
    async with PhysicalReservoir(SimulatedSubstrate(simulator), InputMask(), SpikeCounts(bins=2)) as reservoir:
        u[::2] = -1.0
        X = await reservoir.run(u)
        assert len(reservoir.feature_names) == X.shape[1] == 8
        drive = reservoir.encode(u)
    spikes = LeakySimulator(spiking=True).advance(Stimulus(drive, 0.01)).spikes
    assert spikes is not None
    assert len(spikes) > 0
    assert X.reshape(40, 2, 4).sum(axis=(0, 1)).tolist() == np.bincount(spikes["channel"], minlength=4).tolist()


def test_the_blocking_face_gives_the_same_bits_as_the_async_one() -> None:
    u = series()

    async def run() -> np.ndarray:
        async with PhysicalReservoir(substrate(), InputMask(scale=0.5)) as reservoir:
            return await reservoir.run(u)

    with PhysicalReservoir(substrate(), InputMask(scale=0.5)).blocking() as reservoir:
        X = reservoir.run(u)
        reservoir.reset()
        assert np.array_equal(reservoir.step(u[0]), X[0])
        reservoir.reset()
        streamed = reservoir.stream([u[:10], u[:10]])
        assert np.array_equal(next(streamed), X[:10])
        streamed.close()
    assert np.array_equal(X, asyncio.run(run()))


async def test_the_blocking_face_works_inside_a_running_loop() -> None:
    with PhysicalReservoir(substrate(), InputMask(scale=0.5)).blocking() as reservoir:
        assert reservoir.run(series()).shape == (30, 8)


def test_the_blocking_face_says_when_it_is_not_open_and_passes_errors_on() -> None:
    reservoir = PhysicalReservoir(substrate(), InputMask(scale=50)).blocking()
    with pytest.raises(RuntimeError, match=r"with reservoir\.blocking"):
        reservoir.run(series())
    with reservoir, pytest.raises(StimulusRejected, match="leaky allows"):
        reservoir.run(series())


@pytest.mark.parametrize(
    ("reservoir", "u", "says"),
    [
        (PhysicalReservoir(substrate()), series(5, 4), "4 features does not go one to one into 3 inputs"),
        (PhysicalReservoir(substrate()), np.zeros((0, 3)), "at least one of each"),
        (PhysicalReservoir(substrate(), InputMask(kind="odd")), series(), "allowed are 'binary'"),  # type: ignore[arg-type]
        (PhysicalReservoir(substrate(), features=VirtualNodes(samples=3)), series(), "give samples of 1 to 2"),
        (PhysicalReservoir(substrate(), features=VirtualNodes(outputs=("z9",))), series(), r"no outputs \['z9'\]"),
        (PhysicalReservoir(substrate(), features=SpikeCounts()), series(), "use VirtualNodes"),
    ],
)
async def test_what_does_not_fit_is_said(reservoir: PhysicalReservoir, u: np.ndarray, says: str) -> None:
    async with reservoir:
        with pytest.raises(ValueError, match=says):
            await reservoir.run(u)


async def test_a_leaky_reservoir_recalls_what_linear_theory_says_it_must() -> None:
    """Four leaks with different mixtures of one input hold one number each step: the newest is exact."""
    u = np.random.default_rng(0).uniform(-0.5, 0.5, 500)
    async with PhysicalReservoir(substrate(samples=1), InputMask(scale=1.0)) as reservoir:
        X = await reservoir.run(u)
    # x[t] = 0.9 x[t-1] + m u[t], so u[t] is an exact linear function of x[t] and x[t-1].
    both = np.hstack([X[1:], X[:-1]])
    readout = Ridge(1e-12).fit(both[:300], u[1:301])
    assert readout.predict(both[300:]) == pytest.approx(u[301:], abs=1e-6)
