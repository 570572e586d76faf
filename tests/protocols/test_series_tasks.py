"""The tasks on series against the theory of simple substrates."""

import asyncio
import subprocess
import sys

import numpy as np
import pytest

from inmateria.adapters import SimulatedSubstrate
from inmateria.protocols import Outcome, UnknownTask, find_task, task_names
from inmateria.protocols.tasks.sequence_memory import SequenceSettings, remember_digits, semi_repetitive
from inmateria.substrate import Channel, FloatArray, Limits, Response, Stimulus, SubstrateInfo


class DelayLine:
    """Gives its input of 1, 2, ... `taps` steps ago, and nothing else."""

    def __init__(self, taps: int) -> None:
        self.taps = taps
        self.info = SubstrateInfo(
            id="delays",
            kind="delay-line",
            inputs=(Channel(name="i", unit="V", low=-1, high=1),),
            outputs=tuple(Channel(name=f"o{k}", unit="V", low=-1, high=1) for k in range(1, taps + 1)),
            step=0.05,
            sampling_rate=20.0,
            resettable=True,
            limits=Limits(shortest_step=0.001, longest_step=1.0),
        )
        self.reset()

    def reset(self) -> None:
        self._held: FloatArray = np.zeros(self.taps)
        self._clock, self._sequence = 0.0, 0

    def advance(self, stimulus: Stimulus) -> Response:
        signal = np.empty((len(stimulus.drive), 1, self.taps))
        for step, (value,) in enumerate(stimulus.drive):
            signal[step, 0] = self._held
            self._held = np.concatenate([[value], self._held[:-1]])
        response = Response(signal, None, self._clock, self._sequence)
        self._clock, self._sequence = self._clock + stimulus.duration, self._sequence + 1
        return response


def quiet(phase: str, done: int, of: int, steps: int) -> None:
    assert 0 <= done <= of


def run(name: str, taps: int, **settings: float) -> Outcome:
    task = find_task(name)
    chosen = task.settings(samples=1, amplitude=1.0, bias=0.0, step=0.05, round_trips=3, **settings)
    return asyncio.run(task.run(SimulatedSubstrate(DelayLine(taps)), chosen, quiet))  # type: ignore[arg-type]


def scores(outcome: Outcome) -> dict[tuple[str, str], float]:
    return {(score.on, score.readout): score.score for score in outcome.scores}


@pytest.mark.parametrize("taps", [1, 5, 12])
def test_a_delay_line_remembers_as_many_steps_as_it_has_taps(taps: int) -> None:
    outcome = run("memory", taps, steps=6000)
    capacity = scores(outcome)["substrate", "sum over delays"]
    # What lies beyond the taps adds chance: about one over the held-out steps for each delay.
    assert taps - 0.01 <= capacity <= taps + 5 * outcome.chance
    by_delay = outcome.curves[0].lines["substrate"]
    assert min(by_delay[:taps]) > 0.999
    assert max(by_delay[taps:]) < 0.02
    assert scores(outcome)["input alone", "sum over delays"] < 5 * outcome.chance


def test_what_a_sine_alone_can_become_is_what_fourier_says() -> None:
    found = scores(run("waveform", 1, steps=4000))
    # Squared correlation with the sine: 8/pi^2 for the square wave, 96/pi^4 for the triangle, none for the others.
    assert found["input alone", "square"] == pytest.approx(1 - np.sqrt(1 - 8 / np.pi**2), abs=0.02)
    assert found["input alone", "triangle"] == pytest.approx(1 - np.sqrt(1 - 96 / np.pi**4), abs=0.005)
    assert found["input alone", "shifted"] == pytest.approx(0, abs=0.01)
    assert found["input alone", "doubled"] == pytest.approx(0, abs=0.01)


def test_a_square_wave_is_a_function_of_the_sine_also_where_the_sine_crosses_zero() -> None:
    # At half a hertz and steps of 50 ms every twentieth sample is a crossing, rounded to either side: with the sign of
    # the rounding as its target, no readout could have more than 1 - sqrt(.05), .78.
    found = scores(run("waveform", 40, steps=4000))
    assert found["rectified lags", "square"] > 0.9


def test_two_taps_of_a_sine_give_it_a_quarter_later_exactly() -> None:
    found = scores(run("waveform", 2, steps=4000))
    assert found["substrate", "shifted"] > 0.999  # less what regularisation costs
    assert found["substrate", "doubled"] == pytest.approx(0, abs=0.01)  # out of reach of anything linear


def test_twenty_taps_forecast_mackey_glass_as_linear_prediction_does() -> None:
    found = scores(run("mackey-glass", 20, steps=5000))
    # Linear prediction from 20 values, 84 ahead: an NRMSE near .55 has been measured elsewhere.
    assert 1 - found["substrate", "84 ahead"] == pytest.approx(0.55, abs=0.1)
    assert found["substrate", "84 ahead"] > found["input alone", "84 ahead"]


def test_the_order_repeats_itself_and_surprises_as_asked() -> None:
    shown, images = semi_repetitive(SequenceSettings(digits=5000, period=8, surprise=0.4))
    again = np.mean(shown[8:] == shown[:-8])
    # Both undisturbed, or alike by chance.
    assert again == pytest.approx(0.36 + 0.64 * 0.1, abs=0.06)
    assert images.shape == (5000, 8, 8)
    assert (images.min(), images.max()) == (0.0, 1.0)


@pytest.mark.slow
def test_what_still_holds_the_last_digit_recalls_it_and_what_was_erased_does_not() -> None:
    settings = SequenceSettings(digits=1000, surprise=1.0, back=1, positions=1, step=0.05, erase=5.0, round_trips=3)
    simulator = DelayLine(70)  # eight steps a digit: more than eight digits' worth
    fields = {name: getattr(simulator.info, name) for name in simulator.info.__struct_fields__}
    simulator.info = SubstrateInfo(**{**fields, "resettable": False})
    found = scores(asyncio.run(remember_digits(SimulatedSubstrate(simulator), settings, quiet)))
    # A mask of one input makes one number of a row of pixels; even so the last digit shows in the line.
    assert found["substrate", "RLS, 1 back"] > 0.3
    assert found["memory erased", "RLS, 1 back"] < 0.2
    assert found["pixels shown", "RLS, 1 back"] < 0.2


def test_every_task_is_found_by_its_name() -> None:
    for name in task_names():
        task = find_task(name)
        assert task.name == name
        assert task.settings_from({}) == task.settings()
    with pytest.raises(UnknownTask, match="did you mean waveform"):
        find_task("wavefrom")


FIRST_EXCHANGE = """
import asyncio, sys
from inmateria.adapters import connect
from inmateria.protocols import find_task

class Reached(Exception):
    pass

async def run():
    task = find_task(sys.argv[1])
    async with connect(sys.argv[2]) as substrate:
        def reached(stimulus):
            raise Reached
        substrate.stimulate = reached
        await task.run(substrate, task.settings(), lambda *phase: None)

try:
    asyncio.run(run())
except Reached:
    sys.exit("sklearn" if "sklearn" in sys.modules else 0)
sys.exit("no exchange")
"""


@pytest.mark.parametrize(
    ("name", "on"),
    [
        ("memory", "nanowire://?wires=30"),
        ("mackey-glass", "nanowire://?wires=30"),
        ("spoken-vowels", "nanowire://?wires=30"),
        ("encoding", "culture://?neurons=100"),
    ],
)
def test_a_task_exchanges_before_it_loads_what_scores(name: str, on: str) -> None:
    command = [sys.executable, "-c", FIRST_EXCHANGE, name, on]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
