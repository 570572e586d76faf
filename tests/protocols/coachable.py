"""Small dishes that learn in a known way, for tests of whether a protocol finds learning where there is some.

Both answer each pulse by spikes that push one way or the other, and forget in a pause of 20 s; neither knows the score.
"""

import numpy as np
import numpy.typing as npt

from inmateria.substrate import SPIKE, Channel, FloatArray, Limits, Response, Stimulus, SubstrateInfo

STEP = 0.1
IntArray = npt.NDArray[np.intp]
Groups = tuple[IntArray, IntArray]


class _Dish:
    def __init__(self, seed: int, inputs: int, outputs: int) -> None:
        self.random = np.random.default_rng(seed)
        self._clock, self._sequence = 0.0, 0
        self.info = SubstrateInfo(
            id="coachable",
            kind="neural-culture",
            inputs=tuple(Channel(name=f"i{k}", unit="A", low=0.0, high=1e-6) for k in range(inputs)),
            outputs=tuple(Channel(name=f"o{k}", unit="1", low=0.0, high=1.0) for k in range(outputs)),
            step=STEP,
            sampling_rate=None,
            spiking=True,
            limits=Limits(steps=10_000, shortest_step=STEP, longest_step=STEP),
        )

    def reset(self) -> None:
        pass

    def respond(self, drive: FloatArray) -> list[tuple[int, int]]:
        """Return the spikes (step, output)."""
        raise NotImplementedError

    def advance(self, stimulus: Stimulus) -> Response:
        found = [(self._clock + (step + 0.5) * STEP, k) for step, k in sorted(self.respond(stimulus.drive))]
        response = Response(None, np.array(found, dtype=SPIKE), self._clock, self._sequence)
        self._clock += stimulus.duration
        self._sequence += 1
        return response

    def _pushes(self, step: int, right: bool, groups: Groups) -> list[tuple[int, int]]:
        return [(step, int(k)) for k in groups[0 if right else 1]]


class Coached(_Dish):
    """Pushes to the stimulated side the oftener, the more good pairs of inputs were trained lately.

    Each pair of inputs that is pulsed together, nothing else being so, is good or bad for it: with `learns`, a train
    moves its skill up or down. Every fifth pair is good, the third one first.
    """

    def __init__(
        self, sides: FloatArray, pairs: list[tuple[int, int]], groups: object, learns: bool, seed: int
    ) -> None:
        super().__init__(seed, inputs=12, outputs=8)
        self.sides, self.groups = [set(map(int, side)) for side in sides], groups
        self.effect = {frozenset(pair): (0.5 if k % 5 == 2 else -0.3) * learns for k, pair in enumerate(pairs)}
        self.skill = 0.0
        self.trained: list[frozenset[int]] = []

    def respond(self, drive: FloatArray) -> list[tuple[int, int]]:
        active = [frozenset(np.flatnonzero(row).tolist()) for row in drive]
        if len(drive) >= 200 and not any(active):
            self.skill = 0.0
        for pair in {each for each in active if each in self.effect}:
            self.trained.append(pair)
            self.skill = float(np.clip(self.skill + self.effect[pair], -1.0, 1.0))
        spikes: list[tuple[int, int]] = []
        for step, row in enumerate(active):
            if row in self.sides:
                good = self.random.random() < (1.0 + self.skill) / 2.0
                spikes += self._pushes(step, (row == self.sides[1]) == good, self.groups)
        return spikes


class WinStay(_Dish):
    """Has a direction for each sensory input, and draws that which was used last anew after scattered pulses.

    If it does not learn, it does so after regular ones too, so that no direction stays because it was right.
    """

    def __init__(self, sensory: IntArray, groups: Groups, learns: bool, seed: int) -> None:
        super().__init__(seed, inputs=12, outputs=8)
        self.sensory, self.groups, self.learns = [int(k) for k in sensory], groups, learns
        self.up = {k: bool(self.random.random() < 0.5) for k in self.sensory}
        self.used: list[int] = []

    def respond(self, drive: FloatArray) -> list[tuple[int, int]]:
        active = [np.flatnonzero(row).tolist() for row in drive]
        if len(drive) >= 200 and not any(active):
            self.up = {k: bool(self.random.random() < 0.5) for k in self.sensory}
        if len(drive) > 1:
            if any(active):
                regular = all(len(row) in (0, len(self.sensory)) for row in active)
                if (not regular or not self.learns) and self.used:
                    self.up[self.used[-1]] = bool(self.random.random() < 0.5)
                self.used = []
            return []
        spikes: list[tuple[int, int]] = []
        for at in active[0]:
            self.used.append(at)
            spikes += self._pushes(0, self.up[at], self.groups)
        return spikes
