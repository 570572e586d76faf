"""No adapter can forget the limits, no caller changes a drive that was admitted, no response differs from the info."""

import asyncio
import copy
import pickle

import numpy as np
import pytest

from inmateria.adapters import SimulatedSubstrate
from inmateria.substrate import (
    SPIKE,
    Channel,
    Limits,
    Response,
    ResponseMismatch,
    Stimulus,
    StimulusRejected,
    Substrate,
    SubstrateInfo,
)

CHANNEL = {"unit": "V", "low": -1, "high": 1}


class Bench(Substrate):
    """Answers with the sum of its inputs, on each of two outputs; `answer` may say something else."""

    def __init__(self, answer=None, **changes):  # type: ignore[no-untyped-def]
        fields = {
            "id": "bench", "kind": "bench", "step": 0.01, "sampling_rate": 200.0,
            "inputs": tuple(Channel(name=f"i{k}", **CHANNEL) for k in range(3)),
            "outputs": tuple(Channel(name=f"o{k}", **CHANNEL) for k in range(2)),
        }  # fmt: skip
        self.info = SubstrateInfo(**{**fields, **changes})
        self.applied: list[np.ndarray] = []
        self.answer = answer

    async def _apply(self, stimulus: Stimulus) -> Response:
        self.applied.append(stimulus.drive)
        await asyncio.sleep(0)
        if self.answer is not None:
            return self.answer  # type: ignore[no-any-return]
        summed = stimulus.drive.sum(axis=1)[:, np.newaxis, np.newaxis]
        return Response(np.broadcast_to(summed, (len(summed), 2, 2)).copy(), None, 0.0, len(self.applied) - 1)

    async def reset(self) -> None:
        return


async def test_an_adapter_that_looks_at_nothing_is_never_given_what_is_outside_its_limits() -> None:
    bench = Bench()
    with pytest.raises(StimulusRejected, match="step 0 drives i1 with 50 V"):
        await bench.stimulate(Stimulus([[0, 50, 0]], 0.01))
    with pytest.raises(StimulusRejected):
        async for _ in bench.stream([Stimulus([[0, 1, 0]], 0.01), Stimulus([[0, 0, -2]], 0.01)]):
            pass
    assert [each.tolist() for each in bench.applied] == [[[0, 1, 0]]]


@pytest.mark.parametrize("name", ["stimulate", "stream"])
def test_an_adapter_cannot_replace_what_checks_the_limits(name: str) -> None:
    with pytest.raises(TypeError, match=f"Careless defines {name}"):
        type("Careless", (Bench,), {name: lambda self: None})


async def test_nothing_changes_a_drive_after_it_was_admitted() -> None:
    bench, given = Bench(), np.full((2, 3), 0.5)
    stimulus = Stimulus(given, 0.01)
    exchange = asyncio.create_task(bench.stimulate(stimulus))
    await asyncio.sleep(0)
    given[:] = 50.0  # the caller's own array
    for array in (stimulus.drive, bench.applied[0], stimulus.drive[0], stimulus.drive.view()):
        with pytest.raises(ValueError, match="WRITEABLE"):
            array.flags.writeable = True
    object.__setattr__(stimulus, "drive", given)  # nor another array in the same stimulus
    await exchange
    assert (bench.applied[0] == 0.5).all()


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))])
async def test_copies_of_a_stimulus_are_as_immutable_as_it_is(way) -> None:  # type: ignore[no-untyped-def]
    copied = way(Stimulus([[0.1, 0.2, 0.3]], 0.01))
    with pytest.raises(ValueError, match="WRITEABLE"):
        copied.drive.flags.writeable = True
    assert (await Bench().stimulate(copied)).signal is not None


async def test_an_array_that_was_put_into_a_stimulus_by_force_is_copied_when_it_is_admitted() -> None:
    bench, stimulus, forced = Bench(), Stimulus([[0.1, 0.2, 0.3]], 0.01), np.zeros((1, 3))
    object.__setattr__(stimulus, "drive", forced)
    exchange = asyncio.create_task(bench.stimulate(stimulus))
    await asyncio.sleep(0)
    forced[:] = 50.0
    await exchange
    assert not bench.applied[0].any()
    object.__setattr__(stimulus, "drive", np.full((1, 3), np.nan))
    with pytest.raises(StimulusRejected, match="drives i0 with nan V"):
        await bench.stimulate(stimulus)


async def test_what_only_looks_like_a_stimulus_is_checked_as_one() -> None:
    class Disguised(Stimulus):
        pass

    stimulus = Disguised([[0.1, 0.2, 0.3]], 0.01)
    object.__setattr__(stimulus, "drive", np.array([[np.nan, 0.0, 0.0]]))
    with pytest.raises(StimulusRejected, match="finite"):
        await Bench().stimulate(stimulus)


def test_what_was_admitted_once_says_nothing_of_another_shape_step_or_value() -> None:
    info = Bench(limits=Limits(steps=200, shortest_step=0.01, longest_step=1.0, values=1000)).info
    for _ in range(2):  # what was refused is refused again
        for steps in range(1, 151):
            info.admit(Stimulus(np.zeros((steps, 3)), 0.01))
            with pytest.raises(StimulusRejected, match="step 0 drives i2 with 2 V"):
                info.admit(Stimulus(np.full((steps, 3), [0.0, 0.0, 2.0]), 0.01))
        for drive, step, why in (
            (np.zeros((1, 2)), 0.01, "2 columns"), (np.zeros((201, 3)), 0.01, "201 steps"),
            (np.zeros((1, 3)), 0.009, "the step is"), (np.zeros((150, 3)), 1.0, "60000 values"),
        ):  # fmt: skip
            with pytest.raises(StimulusRejected, match=why):
                info.admit(Stimulus(drive, step))
    assert len(info._signal_shapes) <= 64
    assert copy.copy(info) == info == pickle.loads(pickle.dumps(info))


def signal(*shape: int) -> Response:
    return Response(np.zeros(shape), None, 0.0, 0)


def spike(channel: int) -> Response:
    return Response(np.zeros((2, 2, 2)), np.array([(0.0, channel)], dtype=SPIKE), 0.0, 0)


@pytest.mark.parametrize(
    ("answer", "spiking", "why"),
    [
        (signal(1, 2, 2), False, r"shape \(1, 2, 2\).*\(2, 2, 2\)"),
        (signal(2, 1, 2), False, r"shape \(2, 1, 2\)"),
        (signal(2, 2, 3), False, r"shape \(2, 2, 3\)"),
        (Response(None, np.zeros(0, dtype=SPIKE), 0.0, 0), True, "no signal"),
        (spike(1), False, "spiking is False"),
        (signal(2, 2, 2), True, "no spikes"),
        (spike(2), True, "spike on channel 2; bench has 2 outputs"),
    ],
)
async def test_a_response_that_differs_from_the_info_is_an_error(answer: Response, spiking: bool, why: str) -> None:
    bench, stimulus = Bench(answer, spiking=spiking), Stimulus(np.zeros((2, 3)), 0.01)
    with pytest.raises(ResponseMismatch, match=why):
        await bench.stimulate(stimulus)
    with pytest.raises(ResponseMismatch, match="the stimulus was applied"):
        async for _ in bench.stream([stimulus]):
            pass
    assert len(bench.applied) == 2


def inputs(*ranges: tuple[float, float], levels: tuple[float, ...] | None = None) -> tuple[Channel, ...]:
    return tuple(
        Channel(name=f"i{k}", unit="V", low=low, high=high, levels=levels) for k, (low, high) in enumerate(ranges)
    )


def test_rest_is_what_the_device_says_and_otherwise_nearest_to_zero() -> None:
    assert Bench(inputs=inputs((-1, 1), (0, 5), (2, 3), (-3, -2))).info.rest == (0, 0, 2, -2)
    assert Bench(inputs=inputs((0, 5), levels=(0.5, 3.0))).info.rest == (0.5,)
    said = Bench(inputs=inputs((0, 5), (0, 5)), rest=(2.5, 0.0)).info
    assert said.rest_drive(3).tolist() == [[2.5, 0.0]] * 3
    said.stimulus(said.rest_drive(3))


@pytest.mark.parametrize("rest", [(6.0,), (float("nan"),), (1.0, 1.0)])
def test_a_rest_that_may_not_be_driven_is_refused(rest: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="rest"):
        Bench(inputs=inputs((0, 5)), rest=rest)
    with pytest.raises(ValueError, match="rest"):
        Bench(inputs=inputs((0, 5), levels=(0.0, 5.0)), rest=(1.0,))


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 1j, object()])
def test_parameters_that_json_would_change_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="JSON does not hold"):
        Bench(parameters={"a": value})


async def test_the_info_of_a_device_is_asked_for_inside_its_block() -> None:
    class Closed(SimulatedSubstrate):
        def __init__(self) -> None:
            pass

    with pytest.raises(Exception, match="use it inside `async with`"):
        _ = Closed().info
