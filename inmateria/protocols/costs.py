"""The cost of a run to the device: stimuli, steps, time on its clock, pulses, energy if volts and amperes are known."""

import msgspec
import numpy as np

from inmateria.one_line import one_line
from inmateria.substrate import FloatArray, Response, Stimulus, SubstrateInfo

__all__ = ["Cost", "CostMeter", "sum_of_costs"]


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What a run cost the device.

    Parameters
    ----------
    stimuli, steps : int
        Stimuli that were applied, those that only measure the round trip included, and their steps.
    device_seconds : float
        Duration of the stimuli on the device's clock, s.
    pulses : int, optional
        Pulses that were given; None for matter that does not spike.
    joules : float, optional
        Energy that the driven inputs took up, J; None unless each input's voltage is driven and its current is read.
    """

    stimuli: int = 0
    steps: int = 0
    device_seconds: float = 0.0
    pulses: int | None = None
    joules: float | None = None

    __repr__ = one_line


class CostMeter:
    """Adds up the cost of exchanges with a substrate.

    The energy is that of the mean of voltage times current over the samples of each step that were read.

    Parameters
    ----------
    info : SubstrateInfo
        A voltage and a current belong together if the names of input and output end in the same number.
    """

    def __init__(self, info: SubstrateInfo) -> None:
        self._rest = np.asarray(info.rest, dtype=np.float64)
        self._currents = _currents_of(info)
        self.cost = Cost(pulses=0 if info.spiking else None, joules=None if self._currents is None else 0.0)

    def add(self, stimulus: Stimulus, response: Response) -> None:
        """Add an exchange."""
        pulses, joules = self.cost.pulses, self.cost.joules
        if pulses is not None:
            pulses += int(np.count_nonzero(stimulus.drive != self._rest))
        if joules is not None:
            assert self._currents is not None
            if response.signal is None:
                joules = None
            else:
                current: FloatArray = response.signal[:, :, self._currents].mean(axis=1)
                joules += float((stimulus.drive * current).sum() * stimulus.step)
        self.cost = Cost(
            stimuli=self.cost.stimuli + 1,
            steps=self.cost.steps + len(stimulus.drive),
            device_seconds=self.cost.device_seconds + stimulus.duration,
            pulses=pulses,
            joules=joules,
        )


def sum_of_costs(costs: list[Cost]) -> Cost:
    """Add the costs of several substrates; what is not known of one is not known of the sum."""
    pulses = [each.pulses for each in costs if each.pulses is not None]
    joules = [each.joules for each in costs if each.joules is not None]
    return Cost(
        stimuli=sum(each.stimuli for each in costs),
        steps=sum(each.steps for each in costs),
        device_seconds=sum(each.device_seconds for each in costs),
        pulses=sum(pulses) if len(pulses) == len(costs) else None,
        joules=sum(joules) if len(joules) == len(costs) else None,
    )


def _currents_of(info: SubstrateInfo) -> list[int] | None:
    """Return the output that is the current of each input; None if one has none."""
    places = {_number(channel.name): k for k, channel in enumerate(info.outputs) if channel.unit == "A"}
    numbers = [_number(channel.name) for channel in info.inputs]
    if not numbers or any(channel.unit != "V" for channel in info.inputs):
        return None
    if any(number is None or number not in places for number in numbers):
        return None
    return [places[number] for number in numbers]


def _number(name: str) -> int | None:
    digits = name[len(name.rstrip("0123456789")) :]
    return int(digits) if digits else None
