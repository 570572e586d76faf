"""Encodings are relative to what each input is at rest, and reach the inputs' limits without going beyond them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inmateria.adapters import SimulatedSubstrate
from inmateria.reservoir import InputMask, OneToOne, PhysicalReservoir, PulseAmplitude, PulseRate
from inmateria.simulators import EchoStateNetwork
from inmateria.substrate import Channel, SubstrateInfo


def board(*ranges: tuple[float, float, float]) -> SubstrateInfo:
    """Describe a board by the low end, rest and high end of each input, V."""
    return SubstrateInfo(
        id="board", kind="board", step=0.01, sampling_rate=100.0,
        inputs=tuple(Channel(name=f"i{k}", unit="V", low=low, high=high) for k, (low, _, high) in enumerate(ranges)),
        outputs=(Channel(name="o", unit="V", low=0, high=5),),
        rest=tuple(rest for _, rest, _ in ranges),
    )  # fmt: skip


def test_a_value_goes_around_rest_or_from_rest_to_the_far_end() -> None:
    info = board((-1, 0, 1), (0, 2.5, 5), (0, 0, 5), (-3, 0, 0), (0, 1, 5))
    drive = OneToOne(amplitude=0.5).drive(np.array([[-1.0], [0.0], [1.0]]) * np.ones(5), info)
    assert (
        pytest.approx(np.array([[-0.5, 0, 0.5], [1.25, 2.5, 3.75], [0, 1.25, 2.5], [0, -0.75, -1.5], [0.5, 1, 1.5]]))
        == drive.T
    )


def test_without_an_amplitude_scale_and_offset_are_in_the_inputs_units_beyond_rest() -> None:
    info = board((-1, 0, 1), (0, 2.5, 5))
    assert OneToOne(scale=0.2, offset=0.1).drive(np.array([[1.0, -1.0]]), info) == pytest.approx(np.array([[0.3, 2.4]]))
    mask = InputMask(scale=0.2, seed=1)
    assert np.abs(mask.drive(np.ones((1, 1)), info) - info.rest) == pytest.approx(np.full((1, 2), 0.2))


@given(
    st.lists(
        st.tuples(st.floats(-10, 10), st.floats(0, 1), st.floats(0.01, 20)), min_size=1, max_size=5
    ),  # low, rest as a fraction, width
    st.floats(1e-3, 1),
    st.integers(0, 5),
)
def test_values_within_one_never_leave_the_limits(
    inputs: list[tuple[float, float, float]], amplitude: float, seed: int
) -> None:
    info = board(*((low, min(low + fraction * width, low + width), low + width) for low, fraction, width in inputs))
    u = np.array([[-1.0], [0.0], [1.0]])
    drive = InputMask(kind="uniform", amplitude=amplitude, seed=seed).drive(u, info)
    low, high = (np.array([getattr(each, end) for each in info.inputs]) for end in ("low", "high"))
    slack = 1e-12 * (1 + np.abs(low) + np.abs(high))
    assert (drive >= low - slack).all()
    assert (drive <= high + slack).all()


@given(
    st.lists(
        st.tuples(st.floats(-10, 10), st.sampled_from([0.0, 0.3, 0.5, 1.0]), st.floats(0.01, 20)),
        min_size=1,
        max_size=5,
    ),
    st.floats(1e-3, 1),
    st.floats(0, 50),
    st.floats(0, 1),
    st.integers(0, 5),
)
def test_biases_of_any_sign_and_size_up_to_the_room_never_leave_the_limits(
    inputs: list[tuple[float, float, float]], amplitude: float, bias: float, spread: float, seed: int
) -> None:
    info = board(*((low, min(low + fraction * width, low + width), low + width) for low, fraction, width in inputs))
    u = np.array([[-1.0], [0.0], [1.0]])
    fraction = amplitude / (1 + bias * (1 + spread))
    mask = InputMask(
        kind="uniform", amplitude=fraction, offset=bias, offset_spread=spread, offset_sign="random", seed=seed
    )
    drive = mask.drive(u, info)
    low, high = (np.array([getattr(each, end) for each in info.inputs]) for end in ("low", "high"))
    slack = 1e-12 * (1 + np.abs(low) + np.abs(high))
    assert (drive >= low - slack).all()
    assert (drive <= high + slack).all()
    rest = np.array(info.rest)
    one_sided = (rest - low < 1e-9) | (high - rest < 1e-9)
    middle = np.where(high - rest >= rest - low, 1.0, -1.0)
    assert ((drive[1] - rest) * middle >= -slack)[one_sided].all()  # away from the end at which it rests


def test_biases_are_drawn_apart_from_the_mask_with_signs_and_sizes_as_asked() -> None:
    plain = InputMask(kind="uniform", scale=2.0, seed=3)
    mask = InputMask(kind="uniform", scale=2.0, offset=1.5, offset_spread=0.5, offset_sign="random", seed=3)
    assert (mask.mask(2, 4000) == plain.mask(2, 4000)).all()
    offsets = mask.offsets(4000)
    # Uniform sizes from .75 to 2.25, half of each sign: means within five standard errors.
    assert np.abs(offsets).min() >= 0.75
    assert np.abs(offsets).max() <= 2.25
    assert np.abs(offsets).mean() == pytest.approx(1.5, abs=5 * 0.75 / np.sqrt(3 * 4000))
    assert np.sign(offsets).mean() == pytest.approx(0, abs=5 / np.sqrt(4000))
    assert (InputMask(offset=1.5).offsets(7) == 1.5).all()
    assert (mask.offsets(4000) == offsets).all()
    for wrong, words in (({"offset_spread": 1.5}, "give 0 to 1"), ({"offset_sign": "up"}, "'same' and 'random'")):
        with pytest.raises(ValueError, match=words):
            InputMask(offset=1.0, **wrong).offsets(2)  # type: ignore[arg-type]


def test_pulses_rise_from_rest() -> None:
    info = board((0, 1, 5), (0, 1, 5))
    assert PulseAmplitude(2, 0.5).drive(np.array([[0.0, 1.0]]), info).tolist() == [[1, 3], [1, 1]]
    assert PulseRate(2, 1.0, most=2).drive(np.array([[0.0, 1.0]]), info).tolist() == [[1, 5], [1, 5]]


class Unipolar(EchoStateNetwork):
    """Takes 0 to 5 V and rests at 1 V; keeps what it was given."""

    def __init__(self) -> None:
        super().__init__(units=10, inputs=2, step=0.01)
        inner = self._info
        inputs = tuple(Channel(name=channel.name, unit="V", low=0, high=5) for channel in inner.inputs)
        self._info = SubstrateInfo(
            id="unipolar", kind=inner.kind, inputs=inputs, outputs=inner.outputs, step=inner.step,
            sampling_rate=inner.sampling_rate, resettable=True, rest=(1.0, 1.0),
        )  # fmt: skip
        self.given: list[np.ndarray] = []

    def advance(self, stimulus):  # type: ignore[no-untyped-def]
        self.given.append(stimulus.drive)
        return super().advance(stimulus)


async def test_a_reservoir_rests_at_the_devices_rest() -> None:
    simulator = Unipolar()
    async with PhysicalReservoir(SimulatedSubstrate(simulator), OneToOne(amplitude=0.5), rest=0.03) as reservoir:
        async for _ in reservoir.stream([np.array([[1.0, -1.0]])]):
            pass
        await reservoir.relax()
    assert simulator.given[0].tolist() == [[1.5, 0.5], [1, 1], [1, 1], [1, 1]]
    assert simulator.given[1].tolist() == [[1, 1]] * 3
