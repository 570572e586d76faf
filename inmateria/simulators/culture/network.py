"""A simulated culture of living neurons on an electrode array: it bursts, answers pulses, learns, tires and ages.

Leaky integrate-and-fire neurons with short-term plasticity, conduction delays and slow adaptation, as in
Tsodyks, Uziel and Markram, J. Neurosci. 20, RC50 (2000) and Masquelier and Deco, PLoS ONE 8, e75824 (2013).
"""

import inspect
import math
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from inmateria.kernel_compilation import log_compilation
from inmateria.pulses import PULSE, PulseArray
from inmateria.simulators.culture import kernel
from inmateria.simulators.culture.info import describe
from inmateria.simulators.culture.model import check_parameters, constants_of, culture_model
from inmateria.simulators.culture.pulses import Pulses, admitted, pulses_of, strength_of
from inmateria.simulators.culture.records import Activity, CultureState
from inmateria.simulators.culture.voltage import MEMORY, render_voltage
from inmateria.simulators.culture.wiring import draw_wiring, resting
from inmateria.substrate import SPIKE, Response, SpikeArray, Stimulus, SubstrateInfo

__all__ = ["PULSE", "Activity", "CultureState", "NeuralCulture", "Pulses"]

FloatArray = npt.NDArray[np.float64]

_CHUNK = 1000  # steps between two looks at the buffers
_FRACTION = 1e-6  # of a step: what rounding may do to a time
_DAY = 86_400.0


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
    plasticity : str
        ``"none"``; ``"stdp"``, where the timing of spikes changes excitatory synapses onto excitatory neurons; or
        ``"reward"``, where it makes them eligible and `reward` changes them.
    learning_rate : float
        What a pair of spikes changes at most, as a fraction of the mean weight.
    aging : float
        How fast the drives, weights and loudness of the cells forget what they were, 1/day.
    days : float
        Age when made, days: how long it has drifted. The seed's culture is the same one at any age.
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
        plasticity: str = "none",
        learning_rate: float = 0.005,
        aging: float = 0.05,
        days: float = 0.0,
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
        check_parameters(own)
        changed = {key: own[key] for key in _OF_MODEL if own[key] is not None}
        self._model = culture_model(regime, changed)
        self._own, self._dt, self._seed = own, float(dt), seed
        self._agings = 0
        self._wiring, self._traits = draw_wiring(own, self._model, np.random.default_rng([seed, 1]))
        self._info = describe(own, _DEFAULTS, self._wiring.tissue)
        weights = self._wiring.weights(self._traits, self._model).astype(np.float32)
        self._arrays: dict[str, npt.NDArray[Any]] = {"weights": weights}
        self._constants = constants_of(own, self._model, self._wiring.tissue.excitatory)
        self._express()
        self.reset()
        if days > 0:
            self.age(days * _DAY)
            self.reset()

    def _express(self) -> None:
        """Derive from the traits what each neuron is driven by and which electrodes hear it."""
        model = self._model
        drive = model.drive + model.drive_spread * self._traits.drive
        self._bias = (drive * (1 - math.exp(-self._dt / model.membrane_time))).astype(np.float32)
        self._heard, self._peaks, self._audible = self._wiring.heard(self._traits, self._own["electrode_noise"])

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
        return self._wiring.tissue.neurons

    @property
    def electrode_positions(self) -> FloatArray:
        """Places of the electrodes, shape (electrodes, 2), um."""
        return self._wiring.tissue.electrodes

    @property
    def organoid_of_electrode(self) -> npt.NDArray[np.intp]:
        """Which organoid each electrode is in."""
        return self._wiring.tissue.organoid_at

    @property
    def organoid_of_neuron(self) -> npt.NDArray[np.intp]:
        """Which organoid each neuron is in."""
        return self._wiring.tissue.organoid_of

    @property
    def synapse_sources(self) -> npt.NDArray[np.intp]:
        """Neuron that each synapse comes from; the excitatory neurons have the lower numbers."""
        return self._wiring.source

    @property
    def synapse_targets(self) -> npt.NDArray[np.intp]:
        """Neuron that each synapse goes to."""
        return self._wiring.target

    @property
    def delays(self) -> FloatArray:
        """Delay of each synapse, s."""
        return np.asarray(self._wiring.delay * self._dt)

    @property
    def weights(self) -> npt.NDArray[np.float32]:
        """What each synapse would add if it released everything, mV; a copy."""
        return self._arrays["weights"].copy()

    @property
    def weight_limit(self) -> float:
        """Largest weight that can be learnt, mV."""
        return float(self._constants[kernel.WEIGHT_LIMIT])

    def reset(self) -> None:
        """Return every neuron to rest, and clock, exchanges and noise to their start; age and learning stay."""
        count = self._own["neurons"]
        words = np.random.SeedSequence([self._seed, 2]).generate_state(2 * count, np.uint32).reshape(2, count)
        words[0][(words == 0).all(axis=0)] = 1
        self._arrays["random"] = words
        self._hiss = np.random.default_rng([self._seed, 3])
        self._clock, self._steps, self._sequence = 0.0, 0, 0
        self._rest()

    def _rest(self) -> None:
        """Let everything that fades within minutes have faded."""
        self._arrays |= resting(self._own, self._model, self._wiring, self._bias)
        self._seen_spikes = np.empty((2, 0), dtype=np.int64)
        self._seen_pulses = np.empty(0, dtype=PULSE)

    def reward(self, amount: float) -> None:
        """Give a pulse of neuromodulator: each eligible synapse changes by so much of what it is eligible for.

        Eligibility is what spike-timing plasticity would have changed of late, and fades within a second (Izhikevich,
        Cereb. Cortex 17, 2443 (2007); the pulse here is short beside that).

        Parameters
        ----------
        amount : float
            1 makes the change that plasticity alone would have made; below 0 it is a punishment.

        Raises
        ------
        ValueError
            Where the culture does not wait for rewards, or the amount is not finite.
        """
        if self._own["plasticity"] != "reward":
            raise ValueError(f"plasticity is {self._own['plasticity']!r}; make the culture with plasticity='reward'")
        if not math.isfinite(amount):
            raise ValueError(f"amount is {amount}; give a finite number")
        arrays, some = self._arrays, self._wiring.learning
        left = np.exp(-(self._steps - arrays["tagged"][some]) / self._constants[kernel.ELIGIBILITY])
        old = arrays["weights"][some]
        new = old + amount * arrays["eligible"][some] * left
        arrays["weights"][some] = np.clip(new, 0.0, np.maximum(old, self.weight_limit))

    def age(self, duration: float) -> None:
        """Let days pass without simulating them: it comes to rest, and its cells and synapses drift.

        Drives, logarithms of weights and loudness each drift as an Ornstein-Uhlenbeck process of rate ``aging``, so
        that cells change places and their distribution stays. What was learnt stays too, relative to the drift.

        Parameters
        ----------
        duration : float
            s; days are what it is for.
        """
        if not 0 <= duration < math.inf:
            raise ValueError(f"duration is {duration} s; give 0 or more")
        self._agings += 1
        keep = math.exp(-self._own["aging"] * duration / _DAY)
        older = self._traits.aged(keep, np.random.default_rng([self._seed, 4, self._agings]))
        drifted = np.exp(self._model.weight_spread * (older.weight - self._traits.weight))
        self._arrays["weights"] = (self._arrays["weights"] * drifted).astype(np.float32)
        self._traits = older
        self._express()
        self._rest()
        self._clock += duration
        self._steps = round(self._clock / self._dt)

    def run(
        self,
        duration: float,
        pulses: "Pulses | PulseArray | None" = None,
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
        given = admitted(pulses, duration, self._own["electrodes"], self._own["current_limit"])
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
        start = self._clock
        activity = self.run(stimulus.duration, pulses_of(stimulus, self._own["phase_duration"]))
        spikes = activity.spikes
        spikes["time"] += start
        response = Response(None, spikes, start, self._sequence)
        self._sequence += 1
        return response

    def _advance(self, duration: float, pulses: PulseArray) -> tuple[Any, Any]:
        """Run to the step nearest to the end; give steps and neurons, and steps and pairs, of all spikes."""
        dt, arrays = self._dt, self._arrays
        strength = strength_of(pulses, self._model.pulse_gain)
        blanking = np.full(len(pulses), round(self._own["blanking"] / dt), dtype=np.int64)
        self._clock += duration
        end = round(self._clock / dt)
        due = np.floor((self._clock - duration + pulses["time"]) / dt + _FRACTION).astype(np.int64)
        due = np.clip(due, self._steps, max(self._steps, end - 1))
        # No neuron fires more often than this within a chunk, so no buffer can overflow.
        shortest = 1 + int(min(self._constants[kernel.REFRACTORY_E], self._constants[kernel.REFRACTORY_I]))
        most = self._own["neurons"] * (_CHUNK // shortest + 1)
        fired, detected = np.empty((2, most), np.int64), np.empty((2, most + len(self._heard[1])), np.int64)
        all_fired, all_detected = [], []
        with log_compilation("the culture's kernel", kernel.advance):
            while self._steps < end:
                steps = min(_CHUNK, end - self._steps)
                part = slice(*np.searchsorted(due, [self._steps, self._steps + steps]).tolist())
                spikes, detections = kernel.advance(
                    self._steps, steps, self._constants, arrays["neurons"], arrays["held"], arrays["spiked"],
                    arrays["random"], arrays["ring"], self._wiring.kernel, arrays["weights"], arrays["eligible"],
                    arrays["tagged"], self._heard, self._wiring.reach, arrays["electrodes"], arrays["tired"],
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
        self, clock: float, fired: npt.NDArray[np.int64], pulses: PulseArray, wanted: bool
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
                clock, now, (times, fired[1].astype(np.intp)), self._audible, shifted, self._wiring.tissue.electrodes,
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
            arrays, self._traits, self._seen_spikes.copy(), self._seen_pulses.copy(), self._hiss.bit_generator.state,
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
        if self._traits is not state.traits:
            self._traits = state.traits
            self._express()

    def copy(self) -> Self:
        """Make an independent culture in the same state; the tissue, which never changes, is shared."""
        twin = type(self).__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin.restore(self.state)
        return twin


_DEFAULTS = {name: parameter.default for name, parameter in inspect.signature(NeuralCulture).parameters.items()}
_OF_MODEL = tuple(_DEFAULTS)[list(_DEFAULTS).index("drive") :]
