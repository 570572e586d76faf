"""A simulated culture of living neurons on an electrode array: it bursts, answers pulses, tires and ages.

Leaky integrate-and-fire neurons with short-term plasticity, conduction delays and slow adaptation, as in
Tsodyks, Uziel and Markram, J. Neurosci. 20, RC50 (2000) and Masquelier and Deco, PLoS ONE 8, e75824 (2013).
"""

import inspect
import math
import zlib
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from inmateria.compilation import announced
from inmateria.simulators import culture_kernel as kernel
from inmateria.simulators.culture_model import culture_model
from inmateria.simulators.culture_tissue import draw_synapses, draw_tissue, pairs_near
from inmateria.simulators.culture_voltage import MEMORY, render_voltage
from inmateria.substrate import SPIKE, Channel, Layout, Limits, Response, SpikeArray, Stimulus, SubstrateInfo

FloatArray = npt.NDArray[np.float64]

PULSE = np.dtype(
    [("time", "<f8"), ("electrode", "<u4"), ("amplitude", "<f8"), ("phase_duration", "<f8"), ("polarity", "<i1")]
)
"""One charge-balanced biphasic pulse: start, s; electrode; amplitude of either phase, A; duration of either phase,
s; -1 where the first phase is negative (cathodic), +1 where it is positive."""

_NEVER = -(1 << 60)
_CHUNK = 1000  # steps between two looks at the buffers
_FRACTION = 1e-6  # of a step: what rounding may do to a time


class Pulses:
    """Stimulation pulses, each charge-balanced and biphasic; every argument may be one value or one a pulse.

    Parameters
    ----------
    time : array_like of float
        Start of each pulse, s after the beginning of the run.
    electrode : array_like of int
    amplitude : array_like of float
        Of either phase, A; 0 or more.
    phase_duration : array_like of float
        Of either phase, s.
    polarity : array_like of int
        -1 for the negative (cathodic) phase first, which excites most; +1 for the positive one.

    Attributes
    ----------
    array : ndarray of `PULSE`, shape (pulses,)
        In order of time.
    """

    def __init__(
        self,
        time: npt.ArrayLike,
        electrode: npt.ArrayLike,
        amplitude: npt.ArrayLike = 1e-6,
        phase_duration: npt.ArrayLike = 2e-4,
        polarity: npt.ArrayLike = -1,
    ) -> None:
        columns = np.broadcast_arrays(
            *(np.atleast_1d(each) for each in (time, electrode, amplitude, phase_duration, polarity))
        )
        self.array = np.empty(columns[0].shape, dtype=PULSE)
        for name, column in zip(PULSE.names or (), columns, strict=True):
            self.array[name] = column
        self.array = self.array[np.argsort(self.array["time"], kind="stable")]

    def __len__(self) -> int:
        return len(self.array)


@dataclass(frozen=True, eq=False)
class Activity:
    """What a culture did during a run; times in s after its beginning.

    Parameters
    ----------
    duration : float
        s.
    spikes : ndarray of `SPIKE`, shape (spikes,)
        Detected: time, and electrode as the channel.
    amplitudes : ndarray, shape (spikes,)
        Peak of each detected spike, V, negative as the spike is.
    neuron_spikes : ndarray of `SPIKE`, or None
        Fired: time, and neuron as the channel.
    voltage : ndarray of float32, shape (samples, electrodes), or None
        V.
    """

    duration: float
    spikes: SpikeArray
    amplitudes: FloatArray
    neuron_spikes: SpikeArray | None = None
    voltage: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True, eq=False)
class CultureState:
    """Everything in a culture that changes, for `NeuralCulture.restore`."""

    arrays: dict[str, npt.NDArray[Any]]
    seen_spikes: npt.NDArray[np.int64]
    seen_pulses: npt.NDArray[np.void]
    noise: Any
    clock: float
    steps: int
    sequence: int
    agings: int


class NeuralCulture:
    """Neurons in culture on an electrode array; seeded and exactly repeatable.

    As a substrate it takes, for each step and electrode, the amplitude (A) of one biphasic pulse, negative phase
    first, at the start of the step; 0 gives none. It answers with the spikes that each electrode detected.
    Times are those of the middle of an integration step.

    Parameters
    ----------
    neurons : int
        In all organoids together.
    seed : int
        Of the tissue and of everything else that is random.
    electrodes, organoids : int
        Electrodes in all, and how many separate networks they are shared among.
    regime : str
        ``"asynchronous"`` or ``"bursting"``: sets the defaults of `CultureModel`.
    dt : float
        Integration step, s.
    step : float
        Duration of a stimulus step that does not say otherwise, s.
    pitch : float
        Distance between neighbouring electrodes, um.
    excitatory : float
        Fraction of neurons that are excitatory.
    synapses : float
        Mean number of outgoing synapses of a neuron.
    connection_length : float
        Distance over which the probability of a synapse falls by e, um.
    conduction_velocity, synaptic_delay : float
        m/s and s: the delay of a synapse is distance / velocity + synaptic_delay.
    current_limit : float
        Largest amplitude of a pulse, A.
    phase_duration : float
        Duration of either phase of a pulse given by a stimulus, s.
    blanking : float
        How long after a pulse its own electrode detects nothing, s.
    fatigue, fatigue_recovery : float
        Fraction of its effect that an electrode loses with each pulse, and time in which it comes back, s.
    electrode_noise : float
        Standard deviation of the recorded noise, V; a spike is detected at 6 times that.
    dead_time : float
        Shortest interval between two spikes detected by an electrode, s.
    drive, drive_spread, noise, excitation, inhibition, adaptation, adaptation_time, release, recovery : optional
        Of `CultureModel`, by default those of the regime.

    Raises
    ------
    ValueError
        Where a parameter is out of range.
    """

    def __init__(
        self,
        neurons: int = 1000,
        seed: int = 0,
        electrodes: int = 32,
        organoids: int = 1,
        regime: str = "asynchronous",
        *,
        dt: float = 1e-4,
        step: float = 1e-2,
        pitch: float = 200.0,
        excitatory: float = 0.8,
        synapses: float = 100.0,
        connection_length: float = 400.0,
        conduction_velocity: float = 0.3,
        synaptic_delay: float = 5e-4,
        current_limit: float = 3e-6,
        phase_duration: float = 2e-4,
        blanking: float = 3e-3,
        fatigue: float = 0.1,
        fatigue_recovery: float = 5.0,
        electrode_noise: float = 5e-6,
        dead_time: float = 3e-3,
        drive: float | None = None,
        drive_spread: float | None = None,
        noise: float | None = None,
        excitation: float | None = None,
        inhibition: float | None = None,
        adaptation: float | None = None,
        adaptation_time: float | None = None,
        release: float | None = None,
        recovery: float | None = None,
    ) -> None:
        given = {name: value for name, value in locals().items() if name in _DEFAULTS}
        own = {key: value.item() if isinstance(value, np.generic) else value for key, value in given.items()}
        for key in ("neurons", "electrodes", "organoids"):
            if own[key] < 1:
                raise ValueError(f"{key} is {own[key]}; give at least 1")
        if organoids > electrodes or organoids > neurons:
            raise ValueError(f"{organoids} organoids share {electrodes} electrodes and {neurons} neurons; give more")
        for key in _POSITIVE:
            if not 0 < own[key] < math.inf:
                raise ValueError(f"{key} is {own[key]}; give more than 0")
        if not (0 < excitatory <= 1 and 0 <= fatigue < 1):
            raise ValueError(f"excitatory is {excitatory} and fatigue {fatigue}; both are fractions")
        if not 1e-5 <= dt <= 1e-3:
            raise ValueError(f"dt is {dt} s; allowed is 1e-5 to 1e-3")
        changed = {key: own[key] for key in _OF_MODEL if own[key] is not None}
        self._model = culture_model(regime, changed)
        self._own, self._dt, self._seed = own, float(dt), seed
        self._agings = 0
        self._build()
        self._info = self._describe()
        self.reset()

    def _build(self) -> None:
        own, model, dt = self._own, self._model, self._dt
        rng = np.random.default_rng([self._seed, 1])
        tissue = self._tissue = draw_tissue(
            rng, own["neurons"], own["electrodes"], own["organoids"], own["excitatory"], own["pitch"]
        )
        first, target, distance = draw_synapses(rng, tissue, own["synapses"], own["connection_length"])
        delay = np.maximum(1, np.round((own["synaptic_delay"] + distance * 1e-6 / own["conduction_velocity"]) / dt))
        source = np.repeat(np.arange(own["neurons"]), np.diff(first))
        order = np.lexsort((target, delay, source))  # a neuron's synapses by delay: neighbours in the ring
        target, delay = target[order], delay[order]
        spread = model.weight_spread
        weights = np.exp(spread * rng.standard_normal(len(target)) - spread**2 / 2)
        weights *= np.where(source < tissue.excitatory, model.excitation, model.inhibition)
        weights[(source < tissue.excitatory) & (target >= tissue.excitatory)] *= model.excitation_to_inhibitory
        self._weights = weights.astype(np.float32)
        self._synapses = (first.astype(np.int32), target.astype(np.int32), delay.astype(np.int32))
        self._slots = int(delay.max(initial=1)) + 1
        drive = model.drive + model.drive_spread * rng.standard_normal(own["neurons"])
        self._bias = (drive * (1 - math.exp(-dt / model.membrane_time))).astype(np.float32)
        self._constants = model.packed(dt)
        self._constants[0] = tissue.excitatory
        self._constants[14] = round(own["dead_time"] / dt)
        self._constants[21] = own["fatigue"]
        self._constants[22] = own["fatigue_recovery"] / dt
        # What an electrode hears: the peak falls with distance, and differs from cell to cell.
        loudness = 150e-6 * np.exp(0.4 * rng.standard_normal(own["neurons"]))
        start, place, far = pairs_near(tissue, 120.0, from_electrodes=False)
        peak = np.repeat(loudness, np.diff(start)) * np.exp(-far / 15.0)
        # Detected at 6 times the noise, which itself deepens the deepest sample of a trough by about 1.
        loud = peak > 5 * own["electrode_noise"]
        counts = np.add.reduceat(np.append(loud, False), np.minimum(start[:-1], len(loud))) * (np.diff(start) > 0)
        self._heard = (np.concatenate(([0], np.cumsum(counts))).astype(np.int32), place[loud].astype(np.int32))
        self._peaks = -peak[loud]
        self._audible = (start, place, -peak)
        start, place, far = pairs_near(tissue, 400.0, from_electrodes=True)
        self._reach = (start.astype(np.int32), place.astype(np.int32), (1 / (1 + (far / 60.0) ** 2)).astype(np.float32))

    def _describe(self) -> SubstrateInfo:
        own = self._own
        digits = max(2, len(str(own["electrodes"] - 1)))
        names = [f"e{k:0{digits}d}" for k in range(own["electrodes"])]
        unusual = {key: value for key, value in own.items() if key not in _IN_NAME and value != _DEFAULTS[key]}
        variant = f"-{zlib.crc32(repr(sorted(unusual.items())).encode()):08x}" if unusual else ""
        dt, limit = self._dt, own["current_limit"]
        return SubstrateInfo(
            id=f"culture-{own['neurons']}-{self._seed}" + variant,
            kind="neural-culture",
            inputs=tuple(Channel(name=name, unit="A", low=0.0, high=limit) for name in names),
            outputs=tuple(Channel(name=name, unit="1", low=0.0, high=1.0) for name in names),
            step=float(own["step"]),
            sampling_rate=None,
            spiking=True,
            resettable=True,
            limits=Limits(steps=100_000, shortest_step=min(dt, own["step"]), longest_step=max(60.0, own["step"])),
            parameters=dict(own),
            layout=Layout(
                unit="um",
                points=tuple((x, y) for x, y in self._tissue.neurons.tolist()),
                electrodes={name: (x, y) for name, (x, y) in zip(names, self._tissue.electrodes.tolist(), strict=True)},
            ),
        )

    @property
    def info(self) -> SubstrateInfo:
        """What it is and what it may be given."""
        return self._info

    @property
    def time(self) -> float:
        """The culture's clock, s since the last reset."""
        return self._clock

    @property
    def positions(self) -> FloatArray:
        """Places of the neurons, shape (neurons, 2), um."""
        return self._tissue.neurons

    @property
    def electrode_positions(self) -> FloatArray:
        """Places of the electrodes, shape (electrodes, 2), um."""
        return self._tissue.electrodes

    @property
    def organoid_of_electrode(self) -> npt.NDArray[np.intp]:
        """Which organoid each electrode is in."""
        return self._tissue.organoid_at

    def reset(self) -> None:
        """Return every neuron to rest, and clock, exchanges and noise to their start; age and learning stay."""
        count, electrodes = self._own["neurons"], self._own["electrodes"]
        words = np.random.SeedSequence([self._seed, 2]).generate_state(2 * count, np.uint32).reshape(2, count)
        words[0][(words == 0).all(axis=0)] = 1
        neurons = np.zeros((9, count), dtype=np.float32)
        neurons[kernel.BIAS] = self._bias
        neurons[kernel.AVAILABLE] = 1.0
        neurons[kernel.VOLTAGE] = 0.0
        many = self._tissue.excitatory
        neurons[kernel.UTILISED, :many] = self._model.release
        neurons[kernel.UTILISED, many:] = self._model.inhibitory_release
        self._arrays: dict[str, npt.NDArray[Any]] = {
            "neurons": neurons,
            "held": np.zeros(count, dtype=np.int32),
            "spiked": np.full(count, _NEVER, dtype=np.int64),
            "random": words,
            "ring": np.zeros((2, self._slots, count), dtype=np.float32),
            "weights": self._weights.copy(),
            "eligible": np.zeros(0, dtype=np.float32),
            "tagged": np.zeros(0, dtype=np.int64),
            "electrodes": np.full((3, electrodes), _NEVER, dtype=np.int64),
            "tired": np.ones(electrodes),
        }
        self._hiss = np.random.default_rng([self._seed, 3])
        self._seen_spikes = np.empty((2, 0), dtype=np.int64)
        self._seen_pulses = np.empty(0, dtype=PULSE)
        self._clock, self._steps, self._sequence = 0.0, 0, 0

    def run(
        self,
        duration: float,
        pulses: "Pulses | npt.NDArray[np.void] | None" = None,
        voltage: bool = False,
        neuron_spikes: bool = False,
    ) -> Activity:
        """Let time pass, with pulses; the next run goes on from where this one ended.

        Parameters
        ----------
        duration : float
            s.
        pulses : Pulses or ndarray of `PULSE`, optional
            Times in s after the beginning of this run, within it.
        voltage : bool
            Give the raw voltage of every electrode at 30 kHz too.
        neuron_spikes : bool
            Give the spikes of every neuron too.

        Raises
        ------
        ValueError
            Where the duration is not one, or a pulse is not within it or not allowed.
        """
        if not 0 < duration < math.inf:
            raise ValueError(f"duration is {duration} s; give more than 0")
        given = self._admitted(pulses, duration)
        begin, clock = self._steps, self._clock
        fired, detected = self._advance(duration, given)
        raw = self._render(clock, fired, given, voltage)
        offset = 0.5 * self._dt + (begin * self._dt - clock)
        last = math.nextafter(duration, 0.0)

        def spikes(steps: npt.NDArray[np.int64], channel: npt.NDArray[Any]) -> SpikeArray:
            out = np.empty(len(steps), dtype=SPIKE)
            out["time"] = np.clip((steps - begin) * self._dt + offset, 0.0, last)
            out["channel"] = channel
            return out

        return Activity(
            duration,
            spikes(detected[0], self._heard[1][detected[1]]),
            self._peaks[detected[1]],
            spikes(fired[0], fired[1]) if neuron_spikes else None,
            raw,
        )

    def advance(self, stimulus: Stimulus) -> Response:
        """Apply a stimulus that is within the limits: one pulse at the start of a step where an amplitude is not 0."""
        row, electrode = np.nonzero(stimulus.drive)
        pulses = np.empty(len(row), dtype=PULSE)
        pulses["time"], pulses["electrode"] = row * stimulus.step, electrode
        pulses["amplitude"] = stimulus.drive[row, electrode]
        pulses["phase_duration"], pulses["polarity"] = self._own["phase_duration"], -1
        start = self._clock
        activity = self.run(stimulus.duration, pulses)
        spikes = activity.spikes
        spikes["time"] += start
        response = Response(None, spikes, start, self._sequence)
        self._sequence += 1
        return response

    def _admitted(self, pulses: "Pulses | npt.NDArray[np.void] | None", duration: float) -> npt.NDArray[np.void]:
        if pulses is None:
            return np.empty(0, dtype=PULSE)
        given = pulses.array if isinstance(pulses, Pulses) else np.asarray(pulses)
        if given.dtype != PULSE or given.ndim != 1:
            raise ValueError(f"pulses are of dtype {given.dtype}; give Pulses(...) or an array of dtype PULSE")
        if not len(given):
            return given
        limit = self._own["current_limit"]
        checks = (
            ("time", (given["time"] >= 0) & (given["time"] < duration), f"0 to {duration:g} s"),
            ("electrode", given["electrode"] < self._own["electrodes"], f"0 to {self._own['electrodes'] - 1}"),
            ("amplitude", (given["amplitude"] >= 0) & (given["amplitude"] <= limit * (1 + 1e-9)), f"0 to {limit:g} A"),
            ("phase_duration", (given["phase_duration"] > 0) & (given["phase_duration"] <= 5e-3), "0 to 5e-3 s"),
            ("polarity", np.abs(given["polarity"]) == 1, "-1 or +1"),
        )
        for name, good, allowed in checks:
            if not good.all():
                raise ValueError(f"a pulse has {name} {given[name][~good][0]}; allowed is {allowed}")
        return given[np.argsort(given["time"], kind="stable")]

    def _advance(self, duration: float, pulses: npt.NDArray[np.void]) -> tuple[Any, Any]:
        """Run to the step nearest to the end; give steps and neurons, and steps and pairs, of all spikes."""
        dt, arrays = self._dt, self._arrays
        # Lapicque: a shorter pulse needs more current; chronaxie 0.2 ms.
        strength = pulses["amplitude"] * 1e6 / (1 + 2e-4 / pulses["phase_duration"]) * self._model.pulse_gain
        strength = np.where(pulses["polarity"] < 0, strength, 0.6 * strength)
        blanking = np.full(len(pulses), round(self._own["blanking"] / dt), dtype=np.int64)
        self._clock += duration
        end = round(self._clock / dt)
        due = np.floor((self._clock - duration + pulses["time"]) / dt + _FRACTION).astype(np.int64)
        due = np.clip(due, self._steps, max(self._steps, end - 1))
        # No neuron fires more often than this within a chunk, so no buffer can overflow.
        shortest = 1 + int(min(self._constants[12], self._constants[13]))
        most = self._own["neurons"] * (_CHUNK // shortest + 1)
        fired, detected = np.empty((2, most), np.int64), np.empty((2, most + len(self._heard[1])), np.int64)
        all_fired, all_detected = [], []
        with announced("the culture's kernel"):
            while self._steps < end:
                steps = min(_CHUNK, end - self._steps)
                part = slice(*np.searchsorted(due, [self._steps, self._steps + steps]).tolist())
                spikes, detections = kernel.advance(
                    self._steps, steps, self._constants, arrays["neurons"], arrays["held"], arrays["spiked"],
                    arrays["random"], arrays["ring"], self._synapses, arrays["weights"], arrays["eligible"],
                    arrays["tagged"], self._heard, self._reach, arrays["electrodes"], arrays["tired"],
                    (due[part], pulses["electrode"][part].astype(np.int64), strength[part], blanking[part]),
                    fired, detected,
                )  # fmt: skip
                self._steps += steps
                all_fired.append(fired[:, :spikes].copy())
                all_detected.append(detected[:, :detections].copy())
        if not all_fired:
            return fired[:, :0], detected[:, :0]
        return np.concatenate(all_fired, axis=1), np.concatenate(all_detected, axis=1)

    def _render(
        self, clock: float, fired: npt.NDArray[np.int64], pulses: npt.NDArray[np.void], wanted: bool
    ) -> npt.NDArray[np.float32] | None:
        """Synthesise the voltage since `clock` where it is wanted; keep what will still be seen after now."""
        dt, now = self._dt, self._clock
        shifted = pulses.copy()
        shifted["time"] += clock
        shifted = np.concatenate((self._seen_pulses, shifted))
        fired = np.concatenate((self._seen_spikes, fired), axis=1)
        raw = None
        if wanted:
            times = (fired[0] + 0.5) * dt
            raw = render_voltage(
                clock, now, (times, fired[1].astype(np.intp)), self._audible, shifted, self._tissue.electrodes,
                self._own["electrode_noise"], self._hiss,
            )  # fmt: skip
        self._seen_spikes = fired[:, np.searchsorted(fired[0], (now - MEMORY) / dt) :].copy()
        self._seen_pulses = shifted[shifted["time"] > now - MEMORY]
        return raw

    @property
    def state(self) -> CultureState:
        """Everything that changes, as a copy: what `restore` resumes from, to the bit."""
        arrays = {name: array.copy() for name, array in self._arrays.items()}
        return CultureState(
            arrays, self._seen_spikes.copy(), self._seen_pulses.copy(), self._hiss.bit_generator.state,
            self._clock, self._steps, self._sequence, self._agings,
        )  # fmt: skip

    def restore(self, state: CultureState) -> None:
        """Go back to a state of this culture, or of one made with the same parameters."""
        for name, array in state.arrays.items():
            if self._arrays[name].shape != array.shape:
                raise ValueError(f"the state's {name} has shape {array.shape}; here it is {self._arrays[name].shape}")
        self._arrays = {name: array.copy() for name, array in state.arrays.items()}
        self._seen_spikes, self._seen_pulses = state.seen_spikes.copy(), state.seen_pulses.copy()
        self._hiss = np.random.default_rng()
        self._hiss.bit_generator.state = state.noise
        self._clock, self._steps = state.clock, state.steps
        self._sequence, self._agings = state.sequence, state.agings

    def copy(self) -> Self:
        """Make an independent culture in the same state; the tissue, which never changes, is shared."""
        twin = type(self).__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin.restore(self.state)
        return twin


_DEFAULTS = {name: parameter.default for name, parameter in inspect.signature(NeuralCulture).parameters.items()}
_OF_MODEL = tuple(_DEFAULTS)[list(_DEFAULTS).index("drive") :]
_IN_NAME = ("neurons", "seed")
_POSITIVE = (
    "step", "pitch", "synapses", "connection_length", "conduction_velocity", "current_limit", "phase_duration",
    "fatigue_recovery", "electrode_noise", "dead_time",
)  # fmt: skip
