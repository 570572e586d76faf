"""Light through a scattering medium: a fixed random layer without memory, the plainest physical layer there is.

Laser light gets a phase on each pixel of a modulator, passes through paint, a diffuser or a multimode fibre, and
falls on a camera. A thick medium is a complex Gaussian transmission matrix (Popoff et al., Phys. Rev. Lett. 104,
100601 (2010)), and the camera sees the square of the field (as used to compute: Saade et al., ICASSP 2016).
"""

import zlib

import numpy as np
import numpy.typing as npt

from inmateria.substrate import Channel, Limits, Response, Stimulus, SubstrateInfo

FloatArray = npt.NDArray[np.float64]


class ScatteringMedium:
    """Phases in, intensities out: ``|T exp(i phase) + reference|^2``, with noise on what is read.

    Inputs are channels ``p00``, ... (rad), outputs ``x00``, ... (no unit): intensities over their mean over all
    media, so that they are about 1. One sample a step; a step n times as long has n samples. Nothing is
    remembered from one step to the next, except where the noise stands.

    Parameters
    ----------
    ports : int
        Pixels of the modulator, each with its own phase.
    observables : int
        Pixels of the camera.
    seed : int
        Of the medium, and of the noise.
    noise : float
        Standard deviation of each value read, as a fraction of the mean intensity.
    reference : float
        Amplitude of the light that reaches the camera without meeting the modulator, over that of the light
        which does: without it, a common phase would change nothing.
    phase_limit : float
        Largest phase of either sign, rad.
    step : float
        Duration of a step, s: the camera's exposure.

    Raises
    ------
    ValueError
        Where a parameter is out of range.
    """

    def __init__(
        self,
        ports: int = 20,
        observables: int = 100,
        seed: int = 42,
        *,
        noise: float = 0.02,
        reference: float = 1.0,
        phase_limit: float = 0.5 * np.pi,
        step: float = 1e-3,
    ) -> None:
        if ports < 1 or observables < 1:
            raise ValueError(f"{ports} ports and {observables} observables; give at least 1 of each")
        for name, value, least in (("noise", noise, 0.0), ("reference", reference, 0.0)):
            if not least <= value < float("inf"):
                raise ValueError(f"{name} is {value}; give a finite number of at least 0")
        for name, value in (("phase_limit", phase_limit), ("step", step)):
            if not 0 < value < float("inf"):
                raise ValueError(f"{name} is {value}; give a finite number of more than 0")
        generator = np.random.default_rng([seed, 0])
        shape = (observables, ports)
        field = generator.standard_normal(shape) + 1j * generator.standard_normal(shape)
        self._transmission = field / np.sqrt(2.0 * ports)
        self._reference = reference * np.exp(2j * np.pi * generator.random(observables))
        self._mean = 1.0 + reference**2
        self._seed, self._noise = seed, noise
        given = {
            "ports": ports,
            "observables": observables,
            "seed": seed,
            "noise": noise,
            "reference": reference,
            "phase_limit": phase_limit,
            "step": step,
        }
        usual = {"noise": 0.02, "reference": 1.0, "phase_limit": 0.5 * np.pi, "step": 1e-3}
        unusual = sorted((name, given[name]) for name, value in usual.items() if given[name] != value)
        variant = f"-{zlib.crc32(repr(unusual).encode()):08x}" if unusual else ""
        brightest = (np.abs(self._transmission).sum(axis=1) + reference) ** 2 / self._mean
        self._info = SubstrateInfo(
            id=f"scattering-{ports}x{observables}-{seed}{variant}",
            kind="scattering-medium",
            inputs=tuple(
                Channel(name=f"p{i:0{_digits(ports)}d}", unit="rad", low=-phase_limit, high=phase_limit)
                for i in range(ports)
            ),
            outputs=tuple(
                Channel(name=f"x{i:0{_digits(observables)}d}", unit="1", low=-10.0 * noise, high=high + 10.0 * noise)
                for i, high in enumerate(brightest.tolist())
            ),
            step=step,
            sampling_rate=1.0 / step,
            resettable=True,
            limits=Limits(shortest_step=min(1e-6, step), longest_step=max(3600.0, step)),
            parameters=given,
        )
        self.reset()

    @property
    def info(self) -> SubstrateInfo:
        """What it is and what it may be given."""
        return self._info

    def reset(self) -> None:
        """Return clock, exchanges and noise to their start."""
        self._random = np.random.default_rng([self._seed, 1])
        self._clock, self._sequence = 0.0, 0

    def advance(self, stimulus: Stimulus) -> Response:
        """Apply phases (steps, ports) and read intensities (steps, samples, observables)."""
        samples = self._info.samples(stimulus.step)
        seen = self.intensity(stimulus.drive)[:, np.newaxis]
        signal = np.repeat(seen, samples, axis=1)
        signal += self._noise * self._random.standard_normal(signal.shape)
        response = Response(signal, None, self._clock, self._sequence)
        self._clock += stimulus.duration
        self._sequence += 1
        return response

    def intensity(self, phases: FloatArray) -> FloatArray:
        """Give the intensities (samples, observables) for phases (samples, ports), without noise."""
        field = self._field(phases)
        seen: FloatArray = (field.real**2 + field.imag**2) / self._mean
        return seen

    def gradient(self, phases: FloatArray, by_intensity: FloatArray) -> FloatArray:
        """Turn a gradient by the intensities into one by the phases, both (samples, ...).

        What no device can do: for comparison with training that does without.
        """
        pulled = (by_intensity * np.conj(self._field(phases))) @ self._transmission
        by_phase: FloatArray = -2.0 / self._mean * np.imag(pulled * np.exp(1j * phases))
        return by_phase

    def _field(self, phases: FloatArray) -> npt.NDArray[np.complex128]:
        field: npt.NDArray[np.complex128] = np.exp(1j * phases) @ self._transmission.T + self._reference
        return field


def _digits(count: int) -> int:
    return max(2, len(str(count - 1)))
