"""What a recording keeps: readouts read it, replays give it again, and rounding is what it says."""

from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from leaky import LeakySimulator

from inmateria.adapters import SimulatedSubstrate, connect
from inmateria.protocols.runner import run_task
from inmateria.protocols.runs import read_run
from inmateria.protocols.task import find_task
from inmateria.recording import KeptSamples, RecordedSubstrate, open_recording, recover
from inmateria.recording.kept import SIGNIFICANT_BITS, rounded
from inmateria.reservoir import VirtualNodes
from inmateria.substrate import Response, Stimulus


@example(np.full(20, 1.7e308))  # whose sum is infinite
@given(hnp.arrays(np.float64, st.integers(1, 20), elements=st.floats(allow_nan=True, allow_infinity=True)))
def test_rounding_is_that_of_the_decimal_module(values: np.ndarray) -> None:
    before = values.copy()
    found = rounded(values)
    assert np.array_equal(values, before, equal_nan=True)
    finite = np.isfinite(values)
    assert np.array_equal(found[~finite], values[~finite], equal_nan=True)
    for value, its in zip(values[finite], found[finite], strict=True):
        mantissa, exponent = np.frexp(value)
        if value == 0 or abs(value) < np.finfo(float).tiny:
            assert abs(its - value) <= np.finfo(float).tiny
            continue
        digits = Decimal(float(mantissa)) * 2**SIGNIFICANT_BITS
        exact = float(digits.to_integral_value(ROUND_HALF_UP)) / 2**SIGNIFICANT_BITS
        with np.errstate(over="ignore"):
            expected = np.ldexp(exact, exponent)
        assert its == (expected if np.isfinite(expected) else value)


def _stimuli(count: int = 6) -> list[Stimulus]:
    generator = np.random.default_rng(1)
    return [Stimulus(generator.uniform(-1, 1, (5, 3)), 0.05) for _ in range(count)]  # ten samples a step


@pytest.mark.parametrize("others", ["rounded", "left out"])
@pytest.mark.parametrize("samples", [1, 3, 10])
async def test_what_is_returned_is_what_is_kept_and_replayed(tmp_path: Path, others: str, samples: int) -> None:
    plain = SimulatedSubstrate(LeakySimulator(spiking=True))
    exact = [await plain.stimulate(each) for each in _stimuli()]
    keep = KeptSamples(samples, others, step=0.05)
    recorded = RecordedSubstrate(SimulatedSubstrate(LeakySimulator(spiking=True)), tmp_path / "r.h5", keep=keep)
    nodes = VirtualNodes(samples)
    async with recorded as substrate:
        got = [await substrate.stimulate(each) for each in _stimuli()]
    async with connect(f"replay://{tmp_path / 'r.h5'}") as substrate:
        again = [await substrate.stimulate(each) for each in _stimuli()]
        info = substrate.info
    for stimulus, one, two, true in zip(_stimuli(), got, again, exact, strict=True):
        assert np.array_equal(one.signal, two.signal)
        assert np.array_equal(one.spikes, true.spikes)
        read = nodes.extract(one, stimulus, info, 1)
        assert np.array_equal(read, nodes.extract(true, stimulus, plain.info, 1))
        error = np.abs(one.signal - true.signal) if others == "rounded" else np.zeros(1)
        assert (error <= 2.0**-SIGNIFICANT_BITS * np.abs(true.signal if others == "rounded" else 1)).all()
        assert (error.max() > 0) == (others == "rounded" and samples < 10)
    assert info.samples(0.05) == (samples if others == "left out" else 10)
    with open_recording(tmp_path / "r.h5") as recording:
        assert recording.kept == keep.document()
    recover(tmp_path / "r.h5", tmp_path / "copy.h5")
    with open_recording(tmp_path / "copy.h5") as recording:
        assert recording.kept == keep.document()


async def test_a_stream_is_kept_in_the_same_way(tmp_path: Path) -> None:
    keep = KeptSamples(1)
    async with RecordedSubstrate(SimulatedSubstrate(LeakySimulator()), tmp_path / "r.h5", keep=keep) as substrate:
        got = [response async for response in substrate.stream(_stimuli())]
    with open_recording(tmp_path / "r.h5") as recording:
        for one, exchange in zip(got, recording, strict=True):
            assert np.array_equal(one.signal, exchange.response.signal)
            assert np.array_equal(one.signal[:, :-1], rounded(one.signal[:, :-1]))


def test_a_response_is_never_changed_in_place() -> None:
    signal = np.random.default_rng(0).normal(size=(4, 5, 2))
    before = signal.copy()
    KeptSamples(2).response(Response(signal, None, 0.0, 0), 5)
    assert np.array_equal(signal, before)


def test_counts_are_not_rounded(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not both"):
        RecordedSubstrate(SimulatedSubstrate(LeakySimulator()), tmp_path / "r.h5", scale=0.1, keep=KeptSamples(1))
    with pytest.raises(ValueError, match="at least 1"):
        KeptSamples(0)


QUICK = {
    "capacity": {"steps": "2000"},
    "digits": {"splits": "1", "round_trips": "2"},
    "memory": {"steps": "500"},
    "mackey-glass": {"steps": "500"},
    "narma": {"steps": "500"},
    "parity": {"steps": "500"},
    "delayed-match": {"steps": "1000"},
    "periodic-signal": {"train": "10", "test": "5", "step": "0.05"},
    "row-digits": {"splits": "1", "round_trips": "2"},
    "spoken-vowels": {"parts": "2", "round_trips": "2"},
    "waveform": {"steps": "500"},
    "sequence-memory": {"digits": "500"},
    "stack": {"layers": "nanowire://?wires=40&seed=1,nanowire://?wires=40&seed=2", "passes": "1", "step": "0.005"},
}
"""Settings with which each task that reads some samples only is quick."""


@pytest.mark.slow
@pytest.mark.parametrize("name", QUICK)
async def test_scores_do_not_depend_on_what_is_kept(tmp_path: Path, name: str) -> None:
    task = find_task(name)
    assert task.reads is not None
    settings = task.settings_from(QUICK[name])
    scores, sizes = {}, {}
    for keep in ("exact", "all", "features", "nothing"):
        uris = ["nanowire://?wires=40&seed=1"] if task.substrates is None else task.substrates(settings)
        given = [connect(uri) for uri in uris]
        folder = await run_task(
            task, settings, given[0] if task.substrates is None else given, tmp_path / keep, lambda *_: None,
            on=uris[0], over="local", keep=keep,
        )  # fmt: skip
        run = read_run(folder)
        assert run.keep == keep
        scores[keep] = [(score.on, score.readout, score.splits, score.score) for score in run.outcome.scores]
        sizes[keep] = sum(path.stat().st_size for path in folder.glob("*.h5"))
        assert bool(list(folder.glob("*.h5"))) == (keep != "nothing")
        if keep in ("all", "features") and task.substrates is None:
            replay = connect(f"replay://{folder / 'recording.h5'}")
            again = await run_task(
                task, settings, replay, tmp_path / "again", lambda *_: None, on="replay", over="local", keep="nothing"
            )
            assert read_run(again).outcome.scores == run.outcome.scores
    assert scores["exact"] == scores["all"] == scores["features"] == scores["nothing"]
    assert sizes["features"] <= sizes["all"] <= sizes["exact"]


def test_every_task_of_signals_says_what_it_reads() -> None:
    from inmateria.protocols.task import _BUILT_IN

    of_signals = {name for name in _BUILT_IN if find_task(name).needs == "signal"}
    assert of_signals == set(QUICK)
