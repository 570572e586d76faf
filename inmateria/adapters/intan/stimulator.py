"""The stimulators of an RHS controller, as RHX programs them: sequences in whole samples and steps of current.

An armed electrode runs its sequence when its trigger comes, and takes no other trigger until the refractory period
after the last pulse is over. Events and rounding follow ``ControllerInterface::setStimSequenceParameters`` of RHX's
source; the words are those of the stimulation band (https://intantech.com/files/Intan_RHS2000_data_file_formats.pdf).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from inmateria.adapters.intan.parameters import Value
from inmateria.adapters.tissue.guard import PULSE, PulseArray
from inmateria.adapters.tissue.stimulator_rounding import current_steps, duration_samples

__all__ = ["COMPLIANCE", "MOST_STEPS", "NEGATIVE", "Played", "Programme", "Stimulators"]

MOST_STEPS = 255
NEGATIVE, AMP_SETTLE, CHARGE_RECOVERY, COMPLIANCE = 1 << 8, 1 << 13, 1 << 14, 1 << 15


class Phase(NamedTuple):
    """A phase of a pulse: when it begins after the pulse's beginning, how long it lasts (samples), and its current."""

    begin: int
    samples: int
    steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Programme:
    """What was uploaded for one electrode: durations in samples, currents in signed steps."""

    source: str
    edge: bool
    high: bool
    phases: tuple[Phase, ...]
    delay: int
    pulses: int
    period: int
    refractory: int
    settle: tuple[int, int, bool] | None
    recovery: tuple[int, int] | None

    @property
    def length(self) -> int:
        """Samples from the beginning of a pulse to the end of its last phase."""
        last = self.phases[-1]
        return last.begin + last.samples

    @property
    def total(self) -> int:
        """Samples from a trigger until the next one is taken."""
        return max(1, self.delay + (self.pulses - 1) * self.period + self.length + self.refractory)


class Played(NamedTuple):
    """What the stimulators did in some samples.

    Attributes
    ----------
    pulses : ndarray of `PULSE`
        Pulses that began, on the controller's clock; of three phases the first two.
    third : ndarray of bool
        Which of them have a third phase, like the first one.
    steps : ndarray of int, shape (samples, electrodes)
        Current, in steps.
    flags : ndarray of uint16, shape (samples, electrodes)
        Amplifier settle and charge recovery, as bits of the stimulation band.
    """

    pulses: PulseArray
    third: npt.NDArray[np.bool_]
    steps: npt.NDArray[np.int16]
    flags: npt.NDArray[np.uint16]


def programmed(values: Mapping[str, Value], rate: float, step: float, before: Programme | None) -> Programme | None:
    """Return what RHX uploads for an electrode; None if it is not enabled.

    Parameters
    ----------
    values : mapping
        The channel's parameters by name in lower case.
    rate : float
        Samples per second.
    step : float
        Step of the current, uA.
    before : Programme, optional
        What was uploaded before: the hardware takes no number of pulses below 1 and keeps the one it has.
    """
    if not values["stimenabled"]:
        return None

    def samples(name: str) -> int:
        return duration_samples(float(values[f"{name}microseconds"]), rate)

    def steps(name: str) -> int:
        return min(MOST_STEPS, current_steps(float(values[f"{name}amplitudemicroamps"]), step))

    sign = -1 if values["polarity"] == "NegativeFirst" else 1
    first, second = samples("firstphaseduration"), samples("secondphaseduration")
    delay = samples("interphasedelay") if values["shape"] == "BiphasicWithInterphaseDelay" else 0
    phases = [
        Phase(0, first, sign * steps("firstphase")),
        Phase(first + delay, second, -sign * steps("secondphase")),
    ]
    if values["shape"] == "Triphasic":
        phases.append(phases[0]._replace(begin=first + second))
    train = values["pulseortrain"] == "PulseTrain"
    asked = int(values["numberofstimpulses"]) if train else 1
    return Programme(
        source=str(values["source"]).lower(),
        edge=values["triggeredgeorlevel"] == "Edge",
        high=values["triggerhighorlow"] == "High",
        phases=tuple(phases),
        delay=samples("posttriggerdelay"),
        pulses=asked or (before.pulses if before is not None else 1),
        period=samples("pulsetrainperiod") if train else 0,
        refractory=samples("refractoryperiod"),
        settle=(samples("prestimampsettle"), samples("poststimampsettle"), bool(values["maintainampsettle"]))
        if values["enableampsettle"]
        else None,
        recovery=(samples("poststimchargerecovon"), samples("poststimchargerecovoff"))
        if values["enablechargerecovery"]
        else None,
    )


@dataclass(frozen=True, slots=True)
class _Sequence:
    electrode: int
    trigger: int
    programme: Programme

    @property
    def begin(self) -> int:
        return self.trigger + self.programme.delay

    @property
    def end(self) -> int:
        return self.trigger + self.programme.total

    @property
    def last(self) -> int:
        """The sample after which nothing of it shows."""
        after = max((self.programme.settle or (0, 0, False))[1], (self.programme.recovery or (0, 0))[1])
        return max(self.end, self.end - self.programme.refractory + after)


class Stimulators:
    """The stimulators of all electrodes.

    Parameters
    ----------
    electrodes : int
    rate : float
        Samples per second.
    step : float
        Step of the current, uA.
    """

    def __init__(self, electrodes: int, rate: float, step: float) -> None:
        self._rate, self._step = rate, step
        self._programmes: list[Programme | None] = [None] * electrodes
        self._free, self._free_at = [0] * electrodes, [0.0] * electrodes
        self._held: set[str] = set()
        self._sequences: list[_Sequence] = []
        self._played_to = 0
        self.ignored = 0
        """Triggers that came before the sequence of their electrode was over."""

    def upload(self, electrode: int, values: Mapping[str, Value]) -> None:
        """Upload an electrode's parameters; a sequence that has begun is finished as it was."""
        self._programmes[electrode] = programmed(values, self._rate, self._step, self._programmes[electrode])

    @property
    def armed(self) -> list[int]:
        """Electrodes that a trigger stimulates."""
        return [k for k, each in enumerate(self._programmes) if each is not None]

    @property
    def waiting(self) -> bool:
        """Whether something was triggered of which no sample has been played."""
        return any(each.begin >= self._played_to for each in self._sequences)

    def trigger(self, source: str, sample: int, now: float) -> None:
        """Give an edge on an input.

        Parameters
        ----------
        source : str
        sample : int
            The present sample.
        now : float
            Present time, s, on a clock that is never slow. Where samples have fallen behind it, an electrode whose
            sequence is over by this clock begins the next one as soon as the samples allow.
        """
        for electrode, programme in enumerate(self._programmes):
            if programme is not None and programme.edge and programme.source == source:
                if sample < self._free[electrode] and now < self._free_at[electrode]:
                    self.ignored += 1
                    continue
                self._start(electrode, programme, max(sample, self._free[electrode]))
                self._free_at[electrode] = now + programme.total / self._rate

    def hold(self, source: str, sample: int, now: float) -> None:
        """Set an input high from now on; see `trigger`."""
        if source not in self._held:
            self._held.add(source)
            self.trigger(source, sample, now)

    def release(self, source: str) -> None:
        """Set an input low."""
        self._held.discard(source)

    def _start(self, electrode: int, programme: Programme, sample: int) -> None:
        sequence = _Sequence(electrode, sample, programme)
        self._free[electrode] = sequence.end
        self._sequences.append(sequence)

    def play(self, first: int, count: int) -> Played:
        """Go on by some samples, which follow those played before."""
        for electrode, programme in enumerate(self._programmes):
            if programme is not None and not programme.edge and (programme.source in self._held) == programme.high:
                while (at := max(first, self._free[electrode])) < first + count:
                    self._start(electrode, programme, at)
        steps = np.zeros((count, len(self._programmes)), dtype=np.int16)
        flags = np.zeros((count, len(self._programmes)), dtype=np.uint16)
        begun: list[tuple[float, int, Programme]] = []
        for sequence in self._sequences:
            programme, electrode = sequence.programme, sequence.electrode
            starts = sequence.begin + programme.period * np.arange(programme.pulses)
            begun += [(at / self._rate, electrode, programme) for at in starts.tolist() if first <= at < first + count]
            # A pulse that is not over when the next begins is cut short, as by the sequencer's jump back.
            cut = programme.period if programme.pulses > 1 else programme.length
            for k, at in enumerate(starts.tolist()):
                whole = k == len(starts) - 1
                for phase in programme.phases:
                    end = phase.begin + phase.samples if whole else min(phase.begin + phase.samples, cut)
                    _fill(steps[:, electrode], first, at + phase.begin, at + end, phase.steps)
                over = at + programme.length
                if programme.settle is not None:
                    before, after, _ = programme.settle
                    _raise(flags[:, electrode], first, at - before, over + after, AMP_SETTLE)
                if programme.recovery is not None:
                    on, off = programme.recovery
                    _raise(flags[:, electrode], first, over + on, over + off, CHARGE_RECOVERY)
            if programme.settle is not None and programme.settle[2]:
                _raise(flags[:, electrode], first, int(starts[0]), int(starts[-1]) + programme.length, AMP_SETTLE)
        self._played_to = first + count
        self._sequences = [each for each in self._sequences if each.last > first + count]
        return Played(self._pulses(begun), np.array([len(p.phases) > 2 for _, _, p in begun], dtype=bool), steps, flags)

    def _pulses(self, begun: list[tuple[float, int, Programme]]) -> PulseArray:
        unit = 1e-6 * self._step
        pulses = np.zeros(len(begun), dtype=PULSE)
        for pulse, (at, electrode, programme) in zip(pulses, begun, strict=True):
            one, two = programme.phases[:2]
            pulse["time"], pulse["electrode"] = at, electrode
            pulse["amplitude"], pulse["duration"] = unit * one.steps, one.samples / self._rate
            pulse["second_amplitude"], pulse["second_duration"] = unit * two.steps, two.samples / self._rate
        return pulses


def _fill(column: npt.NDArray[np.int16], first: int, begin: int, end: int, value: int) -> None:
    low, high = max(0, begin - first), min(len(column), end - first)
    if low < high:
        column[low:high] = value


def _raise(column: npt.NDArray[np.uint16], first: int, begin: int, end: int, bit: int) -> None:
    low, high = max(0, begin - first), min(len(column), end - first)
    if low < high:
        column[low:high] |= np.uint16(bit)
