"""Light through a scattering medium: a fixed random layer without memory, the simplest physical layer.

Laser light gets a phase on each pixel of a modulator, passes through paint, a diffuser or a multimode fibre, and
falls on a camera.
"""

from typing import Literal

import numpy as np
import numpy.typing as npt

from inmateria.simulators.identity import simulator_id
from inmateria.simulators.parameters import check_size, convert_value, either
from inmateria.substrate import Channel, Limits, Response, Stimulus, SubstrateInfo

FloatArray = npt.NDArray[np.float64]
_MOST_PORTS = 20_000


class ScatteringMedium:
    r"""Simulated scattering medium: inputs are phases of light, outputs are intensities with noise.

    A thick medium is a complex Gaussian transmission matrix :math:`T` [1]_, and the camera sees the square of the
    field [2]_. The phases :math:`\varphi_k` give at pixel :math:`i` the intensity

    .. math::

        I_i = \frac{\left|\sum_k T_{ik}\, e^{\mathrm{i} \varphi_k} + r\, e^{\mathrm{i} \theta_i}\right|^2}{1 + r^2},
        \qquad \operatorname{E}|T_{ik}|^2 = \frac{1}{\text{ports}}

    in units of its mean over all media, with a reference beam of amplitude :math:`r` and random phase
    :math:`\theta_i`.

    Inputs are channels ``p00``, ... (rad), outputs ``x00``, ... (no unit). One sample a step; a step n times as long
    has n samples. Only the noise depends on earlier steps: each step draws new random numbers.

    Parameters
    ----------
    ports : int
        Number of pixels of the modulator, each with its own phase.
    observables : int
        Number of pixels of the camera.
    seed : int
        Seed of the medium and of the noise.
    noise : float
        Standard deviation of each value read, as a fraction of the mean intensity.
    reference : float
        Amplitude :math:`r` of light that reaches the camera without meeting the modulator, in units of the light
        that does. Without it, a common phase of all inputs would change nothing.
    phase_limit : float
        Largest absolute value of a phase, rad.
    step : float
        Duration of a step, s: the camera's exposure.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    References
    ----------
    .. [1] S. M. Popoff et al., Measuring the transmission matrix in optics, Phys. Rev. Lett. 104, 100601 (2010).
    .. [2] A. Saade et al., Random projections through multiple optical scattering, ICASSP 2016.
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
        ports, observables, seed = (
            convert_value(name, value, int)
            for name, value in (("ports", ports), ("observables", observables), ("seed", seed))
        )
        check_size("ports", ports, _MOST_PORTS)
        check_size("observables", observables, _MOST_PORTS)
        if ports < 1 or observables < 1:
            raise ValueError(f"{ports} ports and {observables} observables; give at least 1 of each")
        if seed < 0:
            raise ValueError(f"seed is {seed}; give 0 or more")
        noise, reference = (
            convert_value(name, value, float) for name, value in (("noise", noise), ("reference", reference))
        )
        phase_limit, step = (
            convert_value(name, value, float) for name, value in (("phase_limit", phase_limit), ("step", step))
        )
        for name, value in (("noise", noise), ("reference", reference)):
            if value < 0:
                raise ValueError(f"{name} is {value}; give 0 or more")
        for name, value in (("phase_limit", phase_limit), ("step", step)):
            if value <= 0:
                raise ValueError(f"{name} is {value}; give more than 0")
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
        brightest = (np.abs(self._transmission).sum(axis=1) + reference) ** 2 / self._mean
        self._info = SubstrateInfo(
            id=simulator_id(f"scattering-{ports}x{observables}-s{seed}", given),
            identity="parameters",
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
            rest=(0.0,) * ports,
            limits=Limits(shortest_step=min(1e-6, step), longest_step=max(3600.0, step)),
            parameters=given,
        )
        self.reset(noise="repeat")

    @property
    def info(self) -> SubstrateInfo:
        """Description of the medium: channels, limits and parameters."""
        return self._info

    def reset(self, noise: Literal["continue", "repeat"] = "continue") -> None:
        """Return the clock and the exchanges to their start.

        Parameters
        ----------
        noise : {"continue", "repeat"}
            ``"continue"`` goes on with the noise, so that trials differ; ``"repeat"`` repeats it from its beginning.

        Raises
        ------
        ValueError
            If ``noise`` is neither.
        """
        if either("noise", noise, "continue", "repeat") == "repeat":
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
        """Return the intensities (samples, observables) for phases (samples, ports), without noise."""
        field = self._field(phases)
        seen: FloatArray = (field.real**2 + field.imag**2) / self._mean
        return seen

    def gradient(self, phases: FloatArray, by_intensity: FloatArray) -> FloatArray:
        """Convert a gradient with respect to the intensities to one with respect to the phases, both (samples, ...).

        A device cannot do this; it is for comparison with training methods that do not need it.
        """
        pulled = (by_intensity * np.conj(self._field(phases))) @ self._transmission
        by_phase: FloatArray = -2.0 / self._mean * np.imag(pulled * np.exp(1j * phases))
        return by_phase

    def _field(self, phases: FloatArray) -> npt.NDArray[np.complex128]:
        field: npt.NDArray[np.complex128] = np.exp(1j * phases) @ self._transmission.T + self._reference
        return field


def _digits(count: int) -> int:
    return max(2, len(str(count - 1)))
