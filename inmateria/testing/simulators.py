"""Checks of a `Simulator`: seeded, synchronous, and within what its info promises."""

from collections.abc import Callable

import msgspec
import numpy as np

from inmateria.substrate import Response, Simulator, Stimulus, SubstrateInfo
from inmateria.testing.checks import Check

__all__ = ["check_simulator", "simulator_checks"]

_Make = Callable[[], Simulator]


def simulator_checks() -> tuple[Check, ...]:
    """Return all checks of a simulator; each is called with a function that makes identical simulators."""
    return tuple(Check(each, each.__name__) for each in _CHECKS)


def check_simulator(make: _Make) -> None:
    """Run every check of a simulator, each on a new one.

    Parameters
    ----------
    make : callable
        Makes a simulator, with the same parameters and seed each time.

    Raises
    ------
    AssertionError
        If a check fails.
    """
    for check in simulator_checks():
        check(make)


def _stimuli(info: SubstrateInfo, count: int) -> list[Stimulus]:
    """Make stimuli of one to four steps anywhere within the inputs' ranges."""
    generator = np.random.default_rng(0)
    made = []
    for k in range(count):
        columns = [
            generator.choice(channel.levels, 1 + k % 4)
            if channel.levels
            else generator.uniform(channel.low, channel.high, 1 + k % 4)
            for channel in info.inputs
        ]
        made.append(info.stimulus(np.column_stack(columns)))
    return made


def _same(one: Response, other: Response) -> bool:
    signals = one.signal is other.signal is None or np.array_equal(
        np.asarray(one.signal), np.asarray(other.signal), equal_nan=True
    )
    spikes = one.spikes is other.spikes is None or np.array_equal(np.asarray(one.spikes), np.asarray(other.spikes))
    return signals and spikes and (one.start, one.sequence) == (other.start, other.sequence)


def info_survives_json_and_is_the_same_for_the_same_parameters(make: _Make) -> None:
    """Two simulators of the same parameters are one device; the info is complete as text."""
    info = make().info
    assert make().info == info
    assert msgspec.json.decode(msgspec.json.encode(info), type=SubstrateInfo) == info


def the_same_seed_gives_the_same_bits(make: _Make) -> None:
    """Two simulators of the same parameters give the same responses to the same stimuli."""
    one, other = make(), make()
    for stimulus in _stimuli(one.info, 6):
        assert _same(one.advance(stimulus), other.advance(stimulus))


def responses_are_as_the_info_says(make: _Make) -> None:
    """Shapes are those promised, numbers finite, spikes in order and within their stimulus."""
    simulator = make()
    for stimulus in _stimuli(simulator.info, 4):
        response = simulator.advance(stimulus)
        simulator.info.check_response(stimulus, response)
        if response.signal is not None:
            assert np.isfinite(response.signal).all(), "a signal is not finite"
        if response.spikes is not None:
            time = response.spikes["time"]
            assert (np.diff(time) >= 0).all(), "spikes are not in order of time"
            assert (time >= response.start - 1e-9).all(), "a spike before the stimulus"
            assert (time < response.start + stimulus.duration + 1e-9).all(), "a spike after the stimulus"


def the_limits_of_every_input_can_be_driven(make: _Make) -> None:
    """At both ends of the inputs' ranges the response is as promised, and finite."""
    simulator = make()
    info = simulator.info
    for ends in ([channel.low for channel in info.inputs], [channel.high for channel in info.inputs]):
        if all(end in (channel.levels or (end,)) for end, channel in zip(ends, info.inputs, strict=True)):
            stimulus = info.stimulus([ends] * 3)
            response = simulator.advance(stimulus)
            info.check_response(stimulus, response)
            assert response.signal is None or np.isfinite(response.signal).all(), "a signal is not finite"


def clock_and_numbers_go_on_and_begin_again_at_a_reset(make: _Make) -> None:
    """Each response begins where the one before it ended, and a return to rest begins at zero."""
    simulator = make()
    for _ in range(2):
        clock = 0.0
        for number, stimulus in enumerate(_stimuli(simulator.info, 4)):
            response = simulator.advance(stimulus)
            assert response.sequence == number
            assert abs(response.start - clock) <= 1e-9 * max(1.0, clock)
            clock = response.start + stimulus.duration
        if not simulator.info.resettable:
            return
        simulator.reset()


_CHECKS: tuple[Callable[[_Make], None], ...] = (
    info_survives_json_and_is_the_same_for_the_same_parameters,
    the_same_seed_gives_the_same_bits,
    responses_are_as_the_info_says,
    the_limits_of_every_input_can_be_driven,
    clock_and_numbers_go_on_and_begin_again_at_a_reset,
)
