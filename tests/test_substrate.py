"""The contract refuses what is malformed or outside limits, and says what was given and what is allowed."""

import pickle
import re

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from inmateria.substrate import (
    SPIKE,
    Channel,
    Layout,
    Limits,
    Response,
    Stimulus,
    StimulusRejected,
    SubstrateBusy,
    SubstrateInfo,
)


def volts(name: str, low: float = -1.0, high: float = 1.0, levels: tuple[float, ...] | None = None) -> Channel:
    return Channel(name=name, unit="V", low=low, high=high, levels=levels)


def device(**changes: object) -> SubstrateInfo:
    fields: dict[str, object] = {
        "id": "bench-1",
        "kind": "test",
        "inputs": (volts("i0"), volts("i1", 0.0, 2.0)),
        "outputs": (volts("o0"), volts("o1"), volts("o2")),
        "step": 0.01,
        "sampling_rate": 1000.0,
        "limits": Limits(steps=100, shortest_step=0.001, longest_step=1.0, values=30_000),
    }
    return SubstrateInfo(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("unit", ["V", "mV", "uA", "ohm", "kHz", "S", "nS", "Pa", "K", "s", "1", "dag", "m"])
def test_si_symbols_are_units(unit: str) -> None:
    assert Channel(name="a", unit=unit, low=0, high=1).unit == unit


@pytest.mark.parametrize("unit", ["", "volt", "V ", "µV", "xV", "11", "V/", "mm²"])
def test_other_words_are_no_units(unit: str) -> None:
    with pytest.raises(ValueError, match="SI and UCUM symbols"):
        Channel(name="a", unit=unit, low=0, high=1)


@pytest.mark.parametrize(("low", "high"), [(1, 1), (2, 1), (float("nan"), 1), (0, float("inf"))])
def test_a_channel_has_finite_ordered_limits(low: float, high: float) -> None:
    with pytest.raises(ValueError, match="low less than high"):
        Channel(name="a", unit="V", low=low, high=high)


def test_a_channels_levels_lie_within_its_limits() -> None:
    with pytest.raises(ValueError, match="levels"):
        volts("a", levels=(0.0, 3.0))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"id": "a/b"}, "letters, digits"),
        ({"id": ""}, "letters, digits"),
        ({"inputs": ()}, "at least one"),
        ({"outputs": (volts("o"), volts("o"))}, "one name"),
        ({"step": 5.0}, "outside its own limits"),
        ({"sampling_rate": None}, "neither a signal nor spikes"),
        ({"sampling_rate": 0.0}, "more than 0"),
    ],
)
def test_an_info_that_contradicts_itself_is_refused(changes: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        device(**changes)


def test_an_info_travels_as_json_unchanged() -> None:
    info = device(layout=Layout(unit="um", segments=((0, 0, 1, 1),), points=((0.5, 0.5),), electrodes={"i0": (0, 1)}))
    assert msgspec.json.decode(msgspec.json.encode(info), type=SubstrateInfo) == info


@pytest.mark.parametrize(("step", "samples"), [(0.01, 10), (0.001, 1), (0.0104, 10), (0.5, 500)])
def test_samples_in_a_step(step: float, samples: int) -> None:
    assert device().samples(step) == samples


@pytest.mark.parametrize(
    ("drive", "says"),
    [
        ([[0.0, float("nan")]], "nan at step 0, input 1"),
        ([[0.0, 0.0], [float("-inf"), 0.0]], "-inf at step 1, input 0"),
        ([0.0, 1.0], r"shape \(2,\)"),
        (np.zeros((0, 2)), r"shape \(0, 2\)"),
        (np.zeros((2, 0)), r"shape \(2, 0\)"),
        (np.zeros((1, 1, 1)), "steps, inputs"),
        ([["a", "b"]], "not an array of numbers"),
        ([[1.0], [1.0, 2.0]], "not an array of numbers"),
        ([[1j, 0]], "not an array of numbers"),
    ],
)
def test_a_malformed_drive_is_refused_at_construction(drive: object, says: str) -> None:
    with pytest.raises(StimulusRejected, match=says):
        Stimulus(drive, 0.01)  # type: ignore[arg-type]


@pytest.mark.parametrize("step", [0.0, -1.0, float("nan"), float("inf"), "soon"])
def test_a_step_is_a_positive_duration(step: object) -> None:
    with pytest.raises(StimulusRejected):
        Stimulus(np.zeros((1, 2)), step)  # type: ignore[arg-type]


def test_a_stimulus_does_not_change_after_it_was_checked() -> None:
    given_drive = np.zeros((2, 2))
    stimulus = Stimulus(given_drive, 0.01)
    given_drive[0, 0] = 99.0
    assert stimulus.drive[0, 0] == 0.0
    with pytest.raises(ValueError, match="read-only"):
        stimulus.drive[0, 0] = 99.0


@pytest.mark.parametrize(
    ("drive", "step", "says"),
    [
        (np.zeros((1, 3)), None, "3 columns.*2 inputs"),
        (np.zeros((101, 2)), 0.001, "101 steps.*at most 100"),
        (np.zeros((1, 2)), 2.0, "2.0 s.*0.001 to 1.0 s"),
        (np.zeros((1, 2)), 1e-4, "0.001 to 1.0 s"),
        (np.zeros((11, 2)), 1.0, "33000 values.*at most 30000"),
        ([[0.0, 0.0], [1.5, 0.0]], None, "step 1 drives i0 with 1.5 V.*-1 to 1 V"),
        ([[0.0, -0.1]], None, "drives i1 with -0.1 V.*0 to 2 V"),
    ],
)
def test_a_stimulus_outside_limits_is_refused_and_told_why(drive: object, step: float | None, says: str) -> None:
    with pytest.raises(StimulusRejected, match=says):
        device().stimulus(drive, step)  # type: ignore[arg-type]


def test_a_channel_with_levels_takes_only_those() -> None:
    info = device(inputs=(volts("i0", levels=(-1.0, 0.0, 1.0)),))
    assert info.stimulus([[1.0], [0.0]]).drive.shape == (2, 1)
    with pytest.raises(StimulusRejected, match=r"step 1 drives i0 with 0\.5 V.*only the levels"):
        info.stimulus([[1.0], [0.5]])


def test_one_row_may_come_without_its_axis() -> None:
    assert device().stimulus([0.5, 1.0]).drive.shape == (1, 2)


@given(arrays(np.float64, (3, 2), elements=st.floats(-3, 3)))
def test_a_stimulus_passes_just_when_every_value_is_within_its_channel(drive: np.ndarray) -> None:
    info = device()
    within = bool((np.abs(drive[:, 0]) <= 1).all() and ((drive[:, 1] >= 0) & (drive[:, 1] <= 2)).all())
    if within:
        assert np.array_equal(info.stimulus(drive).drive, drive)
    else:
        with pytest.raises(StimulusRejected):
            info.stimulus(drive)


def test_a_response_has_three_axes_or_spikes() -> None:
    with pytest.raises(ValueError, match="steps, samples, outputs"):
        Response(np.zeros((2, 3)), None, 0.0, 0)
    with pytest.raises(ValueError, match="neither"):
        Response(None, None, 0.0, 0)
    with pytest.raises(ValueError, match="dtype"):
        Response(None, np.zeros(3), 0.0, 0)  # type: ignore[arg-type]
    assert Response(None, np.zeros(3, dtype=SPIKE), 0.0, 0).spikes is not None


def test_errors_say_what_was_asked_what_is_allowed_and_what_to_do_and_survive_a_pickle() -> None:
    error = SubstrateBusy("bench-1 is held by ada", "until 12:00", "wait, or ask ada")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is SubstrateBusy
    assert re.fullmatch("bench-1 is held by ada; until 12:00; wait, or ask ada", str(again))
