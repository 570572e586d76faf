"""A simulated culture of living neurons on an electrode array: bursts, responses to pulses, learning, fatigue, drift.

Leaky integrate-and-fire neurons with short-term plasticity, conduction delays and slow adaptation, as in
Tsodyks, Uziel and Markram, J. Neurosci. 20, RC50 (2000) and Masquelier and Deco, PLoS ONE 8, e75824 (2013).
"""

import math
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any, Literal, Self
from zlib import crc32

import numpy as np
import numpy.typing as npt

from inmateria import __version__
from inmateria.kernel_compilation import log_compilation
from inmateria.pulses import PULSE, PulseArray
from inmateria.simulators.culture import kernel
from inmateria.simulators.culture.info import describe
from inmateria.simulators.culture.model import Asynchronous, Bursting
from inmateria.simulators.culture.parameters import Connectivity, CultureParameters, ElectrodeArray
from inmateria.simulators.culture.pulses import Pulses, admitted, pulses_of, strength_of
from inmateria.simulators.culture.records import Activity, CultureState, Planned
from inmateria.simulators.culture.voltage import MEMORY, render_voltage
from inmateria.simulators.culture.wiring import draw_wiring, for_kernel, for_state, in_columns, resting
from inmateria.simulators.parameters import either
from inmateria.substrate import SPIKE, Response, SpikeArray, Stimulus, SubstrateInfo

__all__ = ["PULSE", "Activity", "CultureState", "NeuralCulture", "Pulses"]

FloatArray = npt.NDArray[np.float64]

_CHUNK = 1000  # steps between two looks at the buffers
_FRACTION = 1e-6  # of a step: largest rounding error of a time
_DAY = 86_400.0
_BURSTING, _CONNECTIVITY, _ARRAY = Bursting(), Connectivity(), ElectrodeArray()


class NeuralCulture:
    """Simulated culture of neurons on an electrode array; seeded and exactly repeatable.

    Inputs are, for each step and electrode, the amplitude (A) of one biphasic pulse, negative phase first, at the start
    of the step; 0 for no pulse. Responses are the spikes detected by each electrode. Times of spikes are the middle of
    an integration step.

    Groups of parameters are objects, ``regime=Bursting(drive=4.0)``; or names, ``regime="bursting"``; or plain values
    as in ``info.parameters``; in a URI they are written ``culture://?regime=bursting&regime.drive=4``.

    By default it fires in network bursts for as long as it lives, as published cultures do; `Bursting` names what is
    held to which publication.

    Parameters
    ----------
    neurons : int
        Number of neurons in all organoids together.
    seed : int
        Seed of the tissue and of everything else that is random.
    electrodes, organoids : int
        Total number of electrodes, and number of separate networks that share them.
    regime : Bursting or Asynchronous
        Constants of neurons and synapses; see `CultureModel` for the equations.
    connectivity : Connectivity
        Connections between the neurons.
    array : ElectrodeArray
        Properties of the electrodes.
    plasticity : str
        ``"none"``; ``"stdp"``: spike timing changes excitatory synapses onto excitatory neurons; or ``"reward"``: spike
        timing sets their eligibility, and `reward` changes them.
    learning_rate : float
        Largest weight change by a pair of spikes, as a fraction of the mean weight.
    aging : float
        Rate at which the drives, weights and spike amplitudes of the cells drift, 1/day.
    days : float
        Initial age, days, over which the culture has drifted. The id does not depend on it.
    current_limit : float
        Largest amplitude of a pulse, A.
    phase_duration : float
        Duration of either phase of a pulse given by a stimulus, s.
    dt : float
        Integration step, s.
    step : float
        Default duration of a stimulus step, s.
    continuity_correction : bool
        Whether to lower the threshold by what steps longer than 0.1 ms miss of a noisy membrane's crossings, so that
        neurons fire about as often as with 0.1 ms: for ``dt=5e-4``, three to five times as fast. Delays of one step
        of at most 0.5 ms then become two.

    Raises
    ------
    ValueError
        If a parameter is out of range.
    """

    _bring_back: Callable[[], None] | None
    _kept: dict[str, npt.NDArray[Any]]

    def __init__(
        self,
        neurons: int = 1000,
        seed: int = 0,
        electrodes: int = 32,
        organoids: int = 1,
        regime: Asynchronous | Bursting | str | Mapping[str, Any] = _BURSTING,
        *,
        connectivity: Connectivity | Mapping[str, Any] = _CONNECTIVITY,
        array: ElectrodeArray | Mapping[str, Any] = _ARRAY,
        plasticity: str = "none",
        learning_rate: float = 0.005,
        aging: float = 0.05,
        days: float = 0.0,
        current_limit: float = 3e-6,
        phase_duration: float = 2e-4,
        dt: float = 1e-4,
        step: float = 1e-2,
        continuity_correction: bool = False,
    ) -> None:
        groups: dict[str, Any] = {"regime": regime, "connectivity": connectivity, "array": array}
        self._own = CultureParameters(
            neurons=neurons, seed=seed, electrodes=electrodes, organoids=organoids, plasticity=plasticity,
            learning_rate=learning_rate, aging=aging, days=days, current_limit=current_limit,
            phase_duration=phase_duration, dt=dt, step=step, continuity_correction=continuity_correction, **groups,
        )  # fmt: skip
        self._model, self._dt, self._seed = self._own.regime, self._own.dt, self._own.seed
        self._agings = 0
        self._wiring, self._traits = draw_wiring(self._own, np.random.default_rng([self._seed, 1]))
        self._info = describe(self._own, self._wiring.tissue)
        weights = self._wiring.weights(self._traits, self._model).astype(np.float32)
        self._arrays = {"weights": weights}
        self._constants = self._own.packed(self._wiring.tissue.excitatory, self._wiring.shortest_delay)
        self._stream = np.random.SeedSequence(self._seed)
        self._express()
        self.reset(noise="repeat")
        if self._own.days > 0:
            self.age(self._own.days * _DAY)
            self.reset(noise="repeat")

    @property
    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Arrays of the compiled step, brought back from the device that the culture was last advanced on."""
        if self._bring_back is not None:
            bring_back, self._bring_back = self._bring_back, None
            bring_back()
        return self._kept

    @_arrays.setter
    def _arrays(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        self._kept, self._bring_back = arrays, None

    def _express(self) -> None:
        """Derive from the traits the drive of each neuron and the electrodes that record it."""
        model = self._model
        drive = model.drive + model.drive_spread * self._traits.drive
        self._bias = (drive * (1 - math.exp(-self._dt / model.membrane_time))).astype(np.float32)
        self._heard, self._peaks, self._audible = self._wiring.heard(self._traits, self._own.array.noise)

    @property
    def info(self) -> SubstrateInfo:
        """Description of the culture: channels, limits, parameters and layout."""
        return self._info

    @property
    def time(self) -> float:
        """The culture's clock, s since the last reset."""
        return self._clock

    @property
    def positions(self) -> FloatArray:
        """Positions of the neurons, shape (neurons, 2), um."""
        return self._wiring.tissue.neurons

    @property
    def electrode_positions(self) -> FloatArray:
        """Positions of the electrodes, shape (electrodes, 2), um."""
        return self._wiring.tissue.electrodes

    @property
    def organoid_of_electrode(self) -> npt.NDArray[np.intp]:
        """Number of the organoid that each electrode is in."""
        return self._wiring.tissue.organoid_at

    @property
    def organoid_of_neuron(self) -> npt.NDArray[np.intp]:
        """Number of the organoid that each neuron is in."""
        return self._wiring.tissue.organoid_of

    @property
    def synapse_sources(self) -> npt.NDArray[np.intp]:
        """Presynaptic neuron of each synapse; excitatory neurons have the lower numbers."""
        return self._wiring.source

    @property
    def synapse_targets(self) -> npt.NDArray[np.intp]:
        """Postsynaptic neuron of each synapse."""
        return self._wiring.target

    @property
    def delays(self) -> FloatArray:
        """Delay of each synapse, s."""
        return np.asarray(self._wiring.delay * self._dt)

    @property
    def weights(self) -> npt.NDArray[np.float32]:
        """Weight of each synapse, mV: its effect on release of all of its transmitter; a copy."""
        return self._arrays["weights"].copy()

    @property
    def weight_limit(self) -> float:
        """Largest weight that can be learnt, mV."""
        return float(self._constants[kernel.WEIGHT_LIMIT])

    def reset(self, noise: Literal["continue", "repeat"] = "continue") -> None:
        """Return every neuron to rest, and the clock and the exchanges to their start; age and learning stay.

        Parameters
        ----------
        noise : {"continue", "repeat"}
            ``"continue"`` begins a trial with noise of its own; all trials together are those of the seed.
            ``"repeat"`` repeats the noise from its beginning, for trials that differ in nothing but what is compared.

        Raises
        ------
        ValueError
            If ``noise`` is neither.
        """
        if either("noise", noise, "continue", "repeat") == "repeat":
            self._begin_noise()
        self._clock, self._steps, self._sequence = 0.0, 0, 0
        self._rest()

    def _begin_noise(self) -> None:
        """Set the random numbers of the membranes and of the amplifiers to the beginning of their streams."""
        count = self._own.neurons
        words = self._seeded(2).generate_state(2 * count, np.uint32).reshape(2, count)
        words[0][(words == 0).all(axis=0)] = 1
        self._arrays["random"] = in_columns(words)
        self._hiss = np.random.default_rng(self._seeded(3))

    def _seeded(self, *purpose: int) -> np.random.SeedSequence:
        return np.random.SeedSequence([self._seed, *purpose], spawn_key=self._stream.spawn_key)

    def _rest(self) -> None:
        """Set everything that fades within minutes to rest."""
        self._arrays |= for_kernel(resting(self._own, self._wiring, self._bias))
        self._seen_spikes = np.empty((2, 0), dtype=np.int64)
        self._seen_pulses = np.empty(0, dtype=PULSE)

    def reward(self, amount: float) -> None:
        """Apply a pulse of neuromodulator: each synapse changes by ``amount`` times its eligibility.

        Eligibility is the recent change that spike-timing plasticity alone would have made, and decays with
        ``eligibility_time`` (Izhikevich, Cereb. Cortex 17, 2443 (2007); the pulse here is short in comparison).

        Parameters
        ----------
        amount : float
            1 makes the change that plasticity alone would have made; a negative amount is a punishment.

        Raises
        ------
        ValueError
            If ``plasticity`` is not ``"reward"``, or the amount is not finite.
        """
        if self._own.plasticity != "reward":
            raise ValueError(f"plasticity is {self._own.plasticity!r}; make the culture with plasticity='reward'")
        if not math.isfinite(amount):
            raise ValueError(f"amount is {amount}; give a finite number")
        arrays, some = self._arrays, self._wiring.learning
        left = np.exp(-(self._steps - arrays["tagged"][some]) / self._constants[kernel.ELIGIBILITY])
        old = arrays["weights"][some]
        new = old + amount * arrays["eligible"][some] * left
        arrays["weights"][some] = np.clip(new, 0.0, np.maximum(old, self.weight_limit))

    def age(self, duration: float) -> None:
        """Age the culture without simulating it: it returns to rest, and its cells and synapses drift.

        Drives and the logarithms of weights and spike amplitudes each drift as an Ornstein-Uhlenbeck process of rate
        ``aging``, so that individual values change and their distribution does not. Learnt changes are kept, relative
        to the drift.

        Parameters
        ----------
        duration : float
            s; meant for hours and days.

        Raises
        ------
        ValueError
            If the duration is negative or not finite.
        """
        if not 0 <= duration < math.inf:
            raise ValueError(f"duration is {duration} s; give 0 or more")
        self._agings += 1
        keep = math.exp(-self._own.aging * duration / _DAY)
        older = self._traits.aged(keep, np.random.default_rng(self._seeded(4, self._agings)))
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
        """Simulate for a duration, with pulses; the next run continues from the state at the end.

        Parameters
        ----------
        duration : float
            s.
        pulses : Pulses or ndarray of `PULSE`, optional
            Pulses within this run; times in s after its beginning.
        voltage : bool
            Whether to return also the raw voltage of every electrode at 30 kHz.
        neuron_spikes : bool
            Whether to return also the spikes of every neuron.

        Raises
        ------
        ValueError
            If the duration is not positive and finite, or a pulse is outside of it or beyond the limits.
        """
        planned = self._plan(duration, pulses)
        self._clock = planned.end_clock
        return self._activity(planned, *self._advance(planned), voltage, neuron_spikes)

    def _plan(self, duration: float, pulses: "Pulses | PulseArray | None") -> Planned:
        """Check a run, and count it in steps; nothing changes."""
        if not 0 < duration < math.inf:
            raise ValueError(f"duration is {duration} s; give more than 0")
        given = admitted(pulses, duration, self._own.electrodes, self._own.current_limit)
        clock = self._clock + duration
        begin, end = self._steps, round(clock / self._dt)
        due = np.floor((clock - duration + given["time"]) / self._dt + _FRACTION).astype(np.int64)
        return Planned(
            duration, self._clock, clock, begin, end, given,
            np.minimum(np.maximum(due, begin), max(begin, end - 1)), given["electrode"].astype(np.int64),
            strength_of(given, self._model.pulse_gain),
            np.full(len(given), round(self._own.array.blanking / self._dt), dtype=np.int64),
        )  # fmt: skip

    def _activity(
        self,
        planned: Planned,
        fired: npt.NDArray[np.int64],
        detected: npt.NDArray[np.int64],
        voltage: bool,
        neuron_spikes: bool,
    ) -> Activity:
        """Describe a run that is done by steps and neurons, and steps and pairs, of its spikes."""
        raw = self._render(planned.clock, fired, planned.pulses, voltage)
        offset = 0.5 * self._dt + (planned.begin * self._dt - planned.clock)
        last = math.nextafter(planned.duration, 0.0)

        def spikes(steps: npt.NDArray[np.int64], channel: npt.NDArray[Any]) -> SpikeArray:
            out = np.empty(len(steps), dtype=SPIKE)
            # np.clip takes longer than the compiled step of a short run
            out["time"] = np.minimum(np.maximum((steps - planned.begin) * self._dt + offset, 0.0), last)
            out["channel"] = channel
            return out

        return Activity(
            planned.duration,
            spikes(detected[0], self._heard[1][detected[1]]),
            self._peaks[detected[1]],
            spikes(fired[0], fired[1]) if neuron_spikes else None,
            raw,
        )

    def advance(self, stimulus: Stimulus) -> Response:
        """Apply a stimulus within the limits: each amplitude other than 0 is a pulse at the start of its step."""
        start = self._clock
        return self._response(start, self.run(stimulus.duration, self._pulses_of(stimulus)))

    def _pulses_of(self, stimulus: Stimulus) -> PulseArray:
        return pulses_of(stimulus, self._own.phase_duration)

    def _response(self, start: float, activity: Activity) -> Response:
        """Make a response of the activity since ``start`` on the culture's clock."""
        spikes = activity.spikes
        spikes["time"] += start
        response = Response(None, spikes, start, self._sequence)
        self._sequence += 1
        return response

    def _advance(self, planned: Planned) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Run to the step nearest to the end; return steps and neurons, and steps and pairs, of all spikes."""
        arrays, end, due = self._arrays, planned.end, planned.due
        # No neuron fires more often than this within a chunk, so no buffer can overflow.
        shortest = 1 + int(min(self._constants[kernel.REFRACTORY_E], self._constants[kernel.REFRACTORY_I]))
        most = self._own.neurons * (min(_CHUNK, max(0, end - self._steps)) // shortest + 1)
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
                    (due[part], planned.electrode[part], planned.strength[part], planned.blanking[part]),
                    fired, detected,
                )  # fmt: skip
                self._steps += steps
                all_fired.append(fired[:, :spikes].copy())
                all_detected.append(detected[:, :detections].copy())
        if not all_fired:
            return fired[:, :0], detected[:, :0]
        if len(all_fired) == 1:
            return all_fired[0], all_detected[0]
        return np.concatenate(all_fired, axis=1), np.concatenate(all_detected, axis=1)

    def _render(
        self, clock: float, fired: npt.NDArray[np.int64], pulses: PulseArray, wanted: bool
    ) -> npt.NDArray[np.float32] | None:
        """Synthesise the voltage since `clock` if it is wanted; keep the spikes and pulses that still show later."""
        dt, now = self._dt, self._clock
        shifted = self._seen_pulses
        if len(pulses):
            late = pulses.copy()
            late["time"] += clock
            shifted = np.concatenate((shifted, late))
        fired = np.concatenate((self._seen_spikes, fired), axis=1)
        raw = None
        if wanted:
            times = (fired[0] + 0.5) * dt
            raw = render_voltage(
                clock, now, (times, fired[1].astype(np.intp)), self._audible, shifted, self._wiring.tissue.electrodes,
                self._own.array.noise, self._hiss,
            )  # fmt: skip
        self._seen_spikes = fired[:, np.searchsorted(fired[0], (now - MEMORY) / dt) :].copy()
        self._seen_pulses = shifted[shifted["time"] > now - MEMORY]
        return raw

    @property
    def state(self) -> CultureState:
        """Copy of the state; after `restore`, results are bit-identical."""
        arrays = {name: each.copy() for name, each in for_state(self._arrays, self._own.neurons).items()}
        return CultureState(
            arrays, self._traits, self._seen_spikes.copy(), self._seen_pulses.copy(), self._hiss.bit_generator.state,
            self._clock, self._steps, self._sequence, self._agings,
        )  # fmt: skip

    def restore(self, state: CultureState) -> None:
        """Go back to a state of this culture, or of one made with the same parameters.

        Raises
        ------
        ValueError
            If the state is of a culture of another size, or of a version of inmateria that describes it otherwise.
        """
        if state.arrays.keys() != self._arrays.keys():
            raise ValueError(
                f"the state has {', '.join(sorted(state.arrays))}; this version has {', '.join(sorted(self._arrays))}; "
                "make the state anew, or use the version that made it"
            )
        now = for_state(self._arrays, self._own.neurons)
        for name, array in state.arrays.items():
            own = now[name]
            if (own.shape, own.dtype) != (array.shape, array.dtype):
                raise ValueError(
                    f"the state's {name} has shape {array.shape} and type {array.dtype}; "
                    f"here it is {own.shape}, {own.dtype}"
                )
        self._arrays = for_kernel(state.arrays)
        self._seen_spikes, self._seen_pulses = state.seen_spikes.copy(), state.seen_pulses.copy()
        self._hiss = np.random.default_rng()
        self._hiss.bit_generator.state = state.noise
        self._clock, self._steps = state.clock, state.steps
        self._sequence, self._agings = state.sequence, state.agings
        if self._traits is not state.traits:
            self._traits = state.traits
            self._express()

    def copy(self, noise: Literal["independent", "same"] = "independent") -> Self:
        """Make another culture in the same state; the tissue, which never changes, is shared.

        Parameters
        ----------
        noise : {"independent", "same"}
            ``"independent"`` gives the copy noise and aging of its own, as another culture would have: random numbers
            that depend on the seed and on how many copies were made before. ``"same"`` lets it do exactly what this
            culture would have done.

        Raises
        ------
        ValueError
            If ``noise`` is neither.
        """
        own = either("noise", noise, "independent", "same") == "independent"
        state = self.state
        twin = type(self).__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin.restore(state)
        twin._stream = self._stream.spawn(1)[0] if own else deepcopy(self._stream)
        if own:
            twin._begin_noise()
        return twin

    def __copy__(self) -> Self:
        return self.copy(noise="same")

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self.copy(noise="same")

    def __getstate__(self) -> dict[str, Any]:
        """Return what makes the culture again: none of the arrays that never change."""
        return {
            "version": __version__, "parameters": self._info.parameters, "wiring": self._checksum(),
            "state": self.state, "stream": self._stream,
        }  # fmt: skip

    def __setstate__(self, pickled: dict[str, Any]) -> None:
        try:
            state, stream, wiring = pickled["state"], pickled["stream"], pickled["wiring"]
            type(self).__init__(self, **pickled["parameters"])
            if wiring != self._checksum():
                raise ValueError("its synapses are drawn otherwise here")
            self.restore(state)
            self._stream = stream
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(
                f"a culture that was pickled by inmateria {pickled.get('version', '(unknown)')} is not one of this "
                f"version, {__version__} ({error}); make it anew from its parameters (info.parameters)"
            ) from error

    def _checksum(self) -> int:
        """Return a checksum of the synapses: the same seed may draw others with another version of numpy."""
        return crc32(self._wiring.delay.tobytes(), crc32(self._wiring.target.tobytes()))
