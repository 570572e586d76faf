"""Tasks that need memory and nonlinearity, against the best of linear and of memoryless readouts; and feedback."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from leaky import LeakySimulator

from inmateria.adapters import SimulatedSubstrate
from inmateria.protocols import Outcome, UnsuitableSetting, find_task
from inmateria.protocols.closed_loop import Feedback
from inmateria.protocols.last_steps import ERASED
from inmateria.protocols.series import mask_of
from inmateria.protocols.tasks.delayed_match import MatchSettings, draw_trials
from inmateria.protocols.tasks.narma import NarmaSettings, input_and_output
from inmateria.substrate import Channel, FloatArray, Limits, Response, Stimulus, SubstrateInfo


class Lags:
    """Gives functions of its input now and 1, 2, ... steps ago, shape (lags + 1,), and nothing else."""

    def __init__(self, lags: int, outputs: int, of: Callable[[FloatArray], FloatArray], inputs: int = 1) -> None:
        self._lags, self._of, self._inputs = lags, of, inputs
        self.info = SubstrateInfo(
            id="lags",
            kind="lags",
            inputs=tuple(Channel(name=f"i{k}", unit="V", low=-1, high=1) for k in range(inputs)),
            outputs=tuple(Channel(name=f"o{k}", unit="V", low=-10, high=10) for k in range(outputs)),
            step=0.05,
            sampling_rate=20.0,
            resettable=True,
            limits=Limits(shortest_step=0.001, longest_step=1.0),
        )
        self.reset()

    def reset(self) -> None:
        self._held: FloatArray = np.zeros((self._lags + 1, self._inputs))
        self._clock, self._sequence = 0.0, 0

    def advance(self, stimulus: Stimulus) -> Response:
        signal = np.empty((len(stimulus.drive), 1, len(self.info.outputs)))
        for step, values in enumerate(stimulus.drive):
            self._held = np.concatenate([values[np.newaxis], self._held[:-1]])
            signal[step, 0] = self._of(self._held.T.ravel())
        response = Response(signal, None, self._clock, self._sequence)
        self._clock, self._sequence = self._clock + stimulus.duration, self._sequence + 1
        return response


def quiet(phase: str, done: int, of: int, steps: int) -> None:
    assert 0 <= done <= of


def settings_of(name: str, **given: Any) -> Any:
    usual = {"samples": 1, "amplitude": 1.0, "bias": 0.0, "step": 0.05, "round_trips": 3}
    return find_task(name).settings(**{**usual, **given})


def scores(name: str, substrate: Any, **given: Any) -> dict[str, float]:
    task = find_task(name)
    running = task.run(SimulatedSubstrate(substrate), settings_of(name, **given), quiet)
    outcome: Outcome = asyncio.run(running)  # type: ignore[arg-type]
    return {score.on: float(np.mean(score.splits)) for score in outcome.scores}


@pytest.mark.parametrize(("bits", "delay"), [(2, 1), (3, 1), (2, 0)])
def test_parity_is_a_product_of_past_bits_and_nothing_linear_or_memoryless_knows_it(bits: int, delay: int) -> None:
    lags = Lags(6, 7, lambda held: held)
    linear = scores("parity", lags, bits=bits, delay=delay, steps=3000)
    error = 5 * 0.5 / np.sqrt(2800)
    # One threshold is right for three of four patterns of two bits, and for six of eight of three, at most.
    assert linear["substrate"] < 0.75 + error
    assert linear["delay line"] < 0.75 + error
    for control in ("input alone", "masked input", "rectifier"):
        assert linear[control] == pytest.approx(0.5, abs=error)  # the last bit alone says nothing
    product = Lags(6, 1, lambda held: np.array([np.prod(np.sign(held[delay : delay + bits]))]))
    assert scores("parity", product, bits=bits, delay=delay, steps=1000)["substrate"] == 1.0


@pytest.mark.parametrize("order", [2, 5, 10])
def test_no_memoryless_readout_imitates_the_filter_better_than_the_mean_given_the_input(order: int) -> None:
    settings = settings_of("narma", order=order, steps=5000)
    u, y = input_and_output(settings)
    of_u = 0.6 * u**3 if order == 2 else 1.5 / 4 * u
    best = 1 - np.sqrt(1 - np.var(of_u) / np.var(y))
    found = scores("narma", Lags(0, 20, lambda held: np.tile(held, 20)), order=order, steps=5000)
    for control in ("input alone", "masked input", "rectifier"):
        assert found[control] < best + 0.02
    # Twenty thresholds of u reach it; for other orders than 2 the best is linear.
    assert found["rectifier"] == pytest.approx(best, abs=0.02)
    if order > 2:
        assert found["input alone"] == pytest.approx(best, abs=0.02)
    else:
        assert found["input alone"] < best - 0.05


def test_a_filter_that_diverges_is_drawn_again_and_the_same_for_the_same_seed() -> None:
    drawn = [input_and_output(NarmaSettings(seed=seed, order=10, steps=2000)) for seed in (1, 1, 2)]
    assert (drawn[0][1] == drawn[1][1]).all()
    assert not (drawn[0][0] == drawn[2][0]).all()
    for u, y in drawn:
        assert len(u) == len(y) == 2001
        t = np.arange(20, 2000)
        lags = sum(y[t - k] for k in range(10))
        # The equation itself, written out.
        assert y[t + 1] == pytest.approx(0.3 * y[t] + 0.05 * y[t] * lags + 1.5 * u[t - 9] * u[t] + 0.1)


@given(st.integers(0, 2**31 - 1), st.integers(2, 9), st.integers(0, 5), st.integers(0, 5))
def test_half_of_the_matches_match_and_either_symbol_alone_says_nothing(
    seed: int, symbols: int, gap: int, after: int
) -> None:
    settings = MatchSettings(seed=seed, symbols=symbols, gap=gap, after=after, steps=20_000)
    shown, labels = draw_trials(settings)
    length = 2 + gap + after
    ends = np.flatnonzero(labels >= 0)
    assert (np.diff(ends) == length).all()
    first, second = shown[ends - length + 1], shown[ends - after]
    assert ((first == second) == (labels[ends] == 1)).all()
    error = 6 * 0.5 / np.sqrt(len(ends) / symbols)
    for symbol in range(symbols):
        for alone in (first, second):
            assert labels[ends][alone == symbol].mean() == pytest.approx(0.5, abs=error)


def test_a_match_is_chance_for_lags_and_certain_for_what_compares_them() -> None:
    how = {"symbols": 2, "gap": 1, "after": 1, "steps": 3000}
    linear = scores("delayed-match", Lags(4, 10, lambda held: held, inputs=2), **how)
    assert linear["substrate"] == pytest.approx(0.5, abs=0.08)
    assert linear["delay line"] == pytest.approx(0.5, abs=0.08)

    # What one input had one step ago and three steps ago, compared.
    compares = Lags(4, 1, lambda held: np.array([float(np.isclose(held[1], held[3]))]))
    assert scores("delayed-match", compares, **how)["substrate"] == 1.0


def test_digits_by_row_are_read_from_what_holds_the_rows_and_not_once_it_is_erased() -> None:
    # One input makes one number of a row: eight numbers a digit.
    found = scores("row-digits", Lags(7, 8, lambda held: held), splits=2, rest=0.0)
    last = scores("row-digits", Lags(0, 1, lambda held: held), splits=2, rest=0.0)
    assert found["substrate"] > found[ERASED] + 0.3
    assert last["substrate"] == last[ERASED]  # nothing to erase
    assert found[ERASED] == pytest.approx(last["substrate"], abs=0.02)
    assert found["delay line"] == found["input alone"]  # as many pixels as the substrate has features: the last row

    lasting = Lags(7, 8, lambda held: held)
    lasting.info = msgspec.structs.replace(lasting.info, resettable=False)
    assert ERASED not in scores("row-digits", lasting, splits=1, rest=0.0)


class Noted(LeakySimulator):
    """Leaky integrators that keep what they gave."""

    def __init__(self, **how: Any) -> None:
        super().__init__(**how)
        self.given: list[FloatArray] = []

    def advance(self, stimulus: Stimulus) -> Response:
        response = super().advance(stimulus)
        assert response.signal is not None
        self.given.append(response.signal[:, -1])
        return response


@pytest.mark.parametrize("gain", [0.5, 10.0])
def test_each_step_is_driven_by_the_series_and_the_outputs_of_the_step_before(gain: float) -> None:
    simulator = Noted(inputs=3, outputs=6)
    ranges = [(-100.0, 100.0), (-1.0, 3.0), *[(-10.0, 10.0)] * 4]
    outputs = tuple(
        msgspec.structs.replace(each, low=low, high=high)
        for each, (low, high) in zip(simulator.info.outputs, ranges, strict=True)
    )
    simulator.info = msgspec.structs.replace(simulator.info, outputs=outputs)
    settings = settings_of(
        "narma", steps=500, step=0.01, amplitude=0.1, bias=2.0, bias_sign="random", feedback=gain, fed_back=4, seed=3
    )
    task = find_task("narma")
    outcome = asyncio.run(task.run(SimulatedSubstrate(simulator), settings, quiet))  # type: ignore[arg-type]
    drives, given = np.concatenate(simulator.applied[-500:]), np.concatenate(simulator.given[-500:])
    u, _ = input_and_output(settings)
    series = mask_of(settings).drive(4 * u[:500, np.newaxis] - 1, simulator.info)
    weights = Feedback(gain=gain, outputs=4, seed=3).weights(3)
    assert drives[0] == pytest.approx(series[0])  # nothing has been read
    for k in range(1, 500):
        y = [(2 * given[k - 1, j] - high - low) / (high - low) for j, (low, high) in enumerate(ranges[:4])]
        assert drives[k] == pytest.approx(np.clip(series[k] + weights @ np.clip(y, -1, 1), -1, 1))
    assert np.abs(drives).max() <= 1.0
    assert outcome.exchanges.count == outcome.exchanges.steps == 500
    assert {score.on for score in outcome.scores} >= {"substrate", "masked input", "echo state"}


def test_feedback_gives_a_memory_to_what_has_none() -> None:
    # An output that is the input now, fed back: a leaky memory, and the linear recursion of it.
    how = {"steps": 3000, "delays": 5, "amplitude": 0.2}
    alone = scores("memory", Lags(0, 2, lambda held: held, inputs=2), **how)
    looped = scores("memory", Lags(0, 2, lambda held: 10 * held, inputs=2), feedback=0.9, fed_back=2, **how)
    assert alone["substrate"] < 0.02
    assert looped["substrate"] > 0.5


def test_feedback_is_refused_where_it_has_no_effect_or_too_few_outputs() -> None:
    task = find_task("narma")
    spiking = LeakySimulator(spiking=True).info
    spiking = msgspec.structs.replace(spiking, sampling_rate=None)
    plain = LeakySimulator(outputs=4).info
    for info, changed, words in (
        (spiking, {"feedback": 0.5}, "gives spikes, and a signal is fed back"),
        (plain, {"fed_back": 3}, "the feedback is 0"),
        (plain, {"feedback": 0.5, "fed_back": 5}, "there are 4 outputs"),
        (plain, {"bias": 0.0, "bias_spread": 0.25}, "the bias is 0"),
    ):
        with pytest.raises(UnsuitableSetting, match=words):
            task.check_settings(settings_of("narma", **changed), info)
    task.check_settings(settings_of("narma", feedback=0.5, fed_back=4), plain)
