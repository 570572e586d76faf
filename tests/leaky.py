"""A small simulator with a known answer, for tests of everything around a simulator.

Each output is a leaky integral of one mixture of the inputs: ``x <- keep * x + M @ drive`` per sample.
"""

import numpy as np

from inmateria.substrate import SPIKE, Channel, FloatArray, Limits, Response, Stimulus, SubstrateInfo


class LeakySimulator:
    """`inputs` to `outputs` leaky integrators, `samples` a step; with `spiking`, a spike where one passes 1."""

    def __init__(
        self,
        inputs: int = 3,
        outputs: int = 4,
        seed: int = 0,
        samples: int = 2,
        spiking: bool = False,
        id: str = "leaky",  # noqa: A002
    ) -> None:
        self._mixture = np.random.default_rng(seed).uniform(-1, 1, (outputs, inputs))
        self._state: FloatArray = np.zeros(outputs)
        self._samples = samples
        self._clock = 0.0
        self._sequence = 0
        self.applied: list[FloatArray] = []
        self.info = SubstrateInfo(
            id=id,
            kind="leaky-integrator",
            inputs=tuple(Channel(name=f"i{k}", unit="V", low=-1, high=1) for k in range(inputs)),
            outputs=tuple(
                Channel(name=f"o{k}", unit="V" if k % 2 == 0 else "uA", low=-100, high=100) for k in range(outputs)
            ),
            step=0.01,
            sampling_rate=samples / 0.01,
            spiking=spiking,
            resettable=True,
            limits=Limits(steps=10_000, shortest_step=0.001, longest_step=1.0, values=10_000_000),
            parameters={"inputs": inputs, "outputs": outputs, "seed": seed, "samples": samples, "spiking": spiking},
        )

    def reset(self) -> None:
        self._state = np.zeros_like(self._state)
        self._clock = 0.0
        self._sequence = 0

    def advance(self, stimulus: Stimulus) -> Response:
        samples = self.info.samples(stimulus.step)
        signal = np.empty((len(stimulus.drive), samples, len(self._state)))
        spikes = []
        for step, row in enumerate(stimulus.drive):
            for sample in range(samples):
                before = self._state
                self._state = 0.9 * before + self._mixture @ row
                signal[step, sample] = self._state
                at = self._clock + (step + sample / samples) * stimulus.step
                spikes += [(at, k) for k in np.flatnonzero((before <= 1) & (self._state > 1))]
        self.applied.append(stimulus.drive)
        response = Response(
            signal, np.array(spikes, dtype=SPIKE) if self.info.spiking else None, self._clock, self._sequence
        )
        self._clock += stimulus.duration
        self._sequence += 1
        return response
