"""Train several physical layers by local rules, and show what that is worth beside everything simpler.

Parts, chosen with --part:
  digits    three scattering media (20 ports, 100 observables, 2 % read noise), scikit-learn's digits 1347/450
  harder    four media of 10 ports and 40 observables
  noise     read noise of 2 to 30 %
  mismatch  encoders trained through models of other specimens, whose transmission differs by up to all of it
  nanowire  three nanowire networks as the layers, reached over MQTT through an embedded broker
  vowels    Japanese Vowels, series of 12 features, three nanowire networks with memory over MQTT
  mnist     10,000 MNIST digits for training, 2,000 test digits, three scattering media of 20 ports

Digits are split by `inmateria.protocols.data_sets`, which keeps every second digit of each class from all tests.
Settings are chosen on those by choose_settings.py. With --keep FILE, results are kept in the file as they come, and
what is there is not run again: a part that was stopped goes on, and one whose defaults changed runs those only.

Every strategy reads by the same ridge readout: the last layer, then all layers. Beside them stand ridge and
logistic regression on the raw input, one random and one bottleneck layer with as many ports and observables
as all layers together, backpropagation through a differentiable copy (scattering media only), and chance.
A strategy with a number, as in-silico@0.3, has a copy of another specimen as its model, with so large a mismatch;
"own" is the accuracy on the matter of the classifier trained together with the encoders, in silico or not.
vowels and mnist read INMATERIA_DATA, the folder with japanese_vowels.npz and mnist.npz.
"""

import argparse
import asyncio
import json
import os
import sys
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from inmateria.adapters import DeviceServer, EmbeddedBroker, connect, simulator_from_uri
from inmateria.adapters.simulated import SimulatedSubstrate
from inmateria.protocols import data_sets
from inmateria.reservoir import PhysicalLayer, PhysicalStack, RidgeClassifierReadout, VirtualNodes, training_named
from inmateria.reservoir.layers.batches import parts_of
from inmateria.simulators import ScatteringMedium

FloatArray = npt.NDArray[np.float64]
Labels = npt.NDArray[Any]

EVERY = (
    "none", "bottleneck", "bottleneck-in-turn", "bottleneck-online", "hsic", "phsic", "local-ce", "forward-forward",
    "augmented-dfa", "dfa", "physics-aware", "in-silico", "spsa", "local-spsa", "node-perturbation",
    "evolution-strategies", "oracle",
)  # fmt: skip
NEW = ("dfa", "in-silico", "local-spsa", "node-perturbation", "evolution-strategies")
MISMATCHES = (0.0, 0.1, 0.2, 0.3, 0.5, 1.0)
CHEAP = ("none", "bottleneck", "bottleneck-in-turn", "bottleneck-online")


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Data to learn, and the layers to learn it through."""

    uris: tuple[str, ...]
    wide: str
    X: Any
    y: Labels
    T: Any
    t: Labels
    layer: dict[str, Any] = field(default_factory=dict)
    segments: int = 1
    mqtt: bool = False
    seed: int = 0
    passes: int = 0


class KeptResults:
    """Results by key, each a line of JSON in a file once it is there, so that what was run is not run again.

    Parameters
    ----------
    path : Path, optional
        The file; without one nothing is kept.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.results: dict[str, dict[str, Any]] = {}
        if path is not None and path.is_file():
            for line in path.read_text().splitlines():
                try:
                    self.results |= json.loads(line)
                except json.JSONDecodeError:  # the process was killed while it wrote: that one is run again
                    continue

    async def result(self, key: str, make: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
        """Return what is kept with this key, or else make it and keep it."""
        if key not in self.results:
            self.results[key] = await make()
            if self.path is not None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with self.path.open("a") as file:
                    file.write("\n" + json.dumps({key: self.results[key]}))
        return self.results[key]


class ExactTwin:
    """A differentiable copy of a scattering medium, which no real device has."""

    def __init__(self, medium: ScatteringMedium, amplitude: float) -> None:
        self._medium, self._limit = medium, amplitude * medium.info.inputs[0].high

    def add(self, ports: FloatArray, features: FloatArray) -> None:
        """Learn nothing."""

    def fit(self) -> None:
        """Learn nothing."""

    def predict(self, ports: FloatArray) -> FloatArray:
        """Give the intensities without noise."""
        return self._medium.intensity(self._limit * ports)

    def back(self, ports: FloatArray, by_features: FloatArray) -> FloatArray:
        """Differentiate."""
        return self._limit * self._medium.gradient(self._limit * ports, by_features)


def specimen(uri: str, mismatch: float) -> ScatteringMedium:
    """Make another specimen of a medium: its transmission mixed with an independent one, at constant power."""
    medium = simulator_from_uri(uri)
    assert isinstance(medium, ScatteringMedium)
    parameters: dict[str, Any] = dict(medium.info.parameters)
    other = ScatteringMedium(**parameters | {"seed": parameters["seed"] + 100_000})
    medium._transmission = np.sqrt(1.0 - mismatch**2) * medium._transmission + mismatch * other._transmission
    return medium


@asynccontextmanager
async def substrates(uris: Sequence[str], mqtt: bool) -> AsyncIterator[list[Any]]:
    """Give substrates of simulators: in this process, or behind an embedded broker."""
    async with AsyncExitStack() as exits:
        if not mqtt:
            yield [connect(uri) for uri in uris]
            return
        broker = await exits.enter_async_context(EmbeddedBroker())
        servers = [
            await exits.enter_async_context(
                DeviceServer(SimulatedSubstrate(simulator_from_uri(uri)), broker.uri, group="lab", name=f"layer-{k}")
            )
            for k, uri in enumerate(uris, start=1)
        ]
        yield [server.uri for server in servers]


async def run_strategy(
    problem: Problem, name: str, uris: tuple[str, ...] | None = None, **settings: Any
) -> dict[str, Any]:
    """Train the layers in one way, and score the last layer and all of them."""
    uris = problem.uris if uris is None else uris
    name, _, mismatch = name.partition("@")
    if problem.passes and name not in CHEAP:
        settings["passes"] = problem.passes
    if name == "oracle":
        name, mismatch = "physics-aware", "0"
    if mismatch:
        models = [specimen(uri, float(mismatch)) for uri in uris]
        amplitude = problem.layer.get("amplitude", 1.0)
        settings |= {"make_twin": lambda layer, ports, features: ExactTwin(models[layer], amplitude), "twin_passes": 0}
    training = training_named(name, **settings)
    async with substrates(uris, problem.mqtt) as given:
        stack = PhysicalStack(
            [PhysicalLayer(substrate=each, **problem.layer) for each in given],
            train=training,
            segments=problem.segments,
            seed=problem.seed,
        )
        async with stack:
            begun = time.perf_counter()
            await stack.fit(problem.X, problem.y)
            seconds = time.perf_counter() - begun
            overlap = overlapping(stack)
            spent = stack.stimuli_training_ + stack.stimuli_reading_
            told = await stack.features(problem.T)
    A, B = stack.features_, told
    classifier = getattr(stack.training_, "classifier", None)
    own = {}
    if classifier is not None and not problem.segments > 1:
        own["own"] = float(np.mean(stack.classes_[classifier.logits(B[-1]).argmax(axis=1)] == problem.t))
    return own | {
        "last": score(A[-1], problem.y, B[-1], problem.t),
        "all": score(np.hstack(A), problem.y, np.hstack(B), problem.t),
        "layers": [score(a, problem.y, b, problem.t) for a, b in zip(A, B, strict=True)],
        "stimuli": spent,
        "training": stack.stimuli_training_,
        "seconds": seconds,
        "learning": stack.learning_seconds_,
        "overlap": overlap,
    }


def overlapping(stack: PhysicalStack) -> float:
    """Give the mean number of layers whose substrates are busy, while any is."""
    edges = sorted((at, side) for each in stack.trace for at, side in ((each.begin, 1), (each.end, -1)))
    busy = total = any_time = 0.0
    before = edges[0][0]
    for at, side in edges:
        total += busy * (at - before)
        any_time += (at - before) if busy else 0.0
        busy, before = busy + side, at
    return total / any_time


def score(A: FloatArray, y: Labels, B: FloatArray, t: Labels, readout: Any = None) -> float:
    """Train a readout on standardised features; give the fraction of the others it names rightly."""
    reader = make_pipeline(StandardScaler(), clone(RidgeClassifierReadout() if readout is None else readout))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # logistic regression may stop at its most steps
        reader.fit(A, y)
    return float(np.mean(reader.predict(B) == t))


def flat(X: Any, segments: int) -> FloatArray:
    """Give a raw input as vectors: series as the averages of their parts, as the readout of a stack sees them."""
    if isinstance(X, np.ndarray):
        return X
    return np.stack([np.concatenate([part.mean(axis=0) for part in parts_of(each, segments)]) for each in X])


async def solve(
    part: str, problem: Problem, strategies: Sequence[str], settings: dict[str, Any], tell: Any, kept: KeptResults
) -> dict[str, dict[str, Any]]:
    """Run all strategies with some settings, and controls, on a problem of a part."""
    found: dict[str, dict[str, Any]] = {}

    def add(name: str, result: dict[str, Any]) -> None:
        found[name] = result
        own = f"own {result['own']:.3f}" if "own" in result else ""
        tell(
            f"  {name:28} {result['last']:.3f} {result['all']:.3f} {result['stimuli']:>9,} "
            f"{result.get('seconds', 0):.1f} s {own}"
        )

    def run(strategy: str, uris: tuple[str, ...], **settings: Any) -> Awaitable[dict[str, Any]]:
        training = training_named("physics-aware" if strategy == "oracle" else strategy.partition("@")[0], **settings)
        layer = {name: value for name, value in problem.layer.items() if name != "features"}
        key = (
            f"{part}, seed {problem.seed}: {strategy}, {training}, {problem.passes} passes, {layer}, {', '.join(uris)}"
        )
        return kept.result(key, lambda: run_strategy(problem, strategy, uris, **settings))

    for name in strategies:
        add(name, await run(name, problem.uris, **settings))
    for name, train in (("one wide layer, random", "none"), ("one wide layer, bottleneck", "bottleneck-in-turn")):
        add(name, await run(train, (problem.wide,)))
    A, B = flat(problem.X, problem.segments), flat(problem.T, problem.segments)
    for name, readout in (("raw input, ridge", None), ("raw input, logistic", LogisticRegression(max_iter=2000))):
        right = score(A, problem.y, B, problem.t, readout)
        add(name, {"last": right, "all": right, "stimuli": 0})
    values, counts = np.unique(problem.y, return_counts=True)
    chance = float(np.mean(problem.t == values[counts.argmax()]))
    add("chance", {"last": chance, "all": chance, "stimuli": 0})
    return found


def split_digits(seed: int, held_out: int = 450) -> tuple[FloatArray, Labels, FloatArray, Labels]:
    """Split scikit-learn's digits, 1,347 and 450; of a part for choosing, those that it has."""
    items = data_sets.digits()
    learned, tested = items.split(held_out, seed)
    return items.X[learned], items.y[learned], items.X[tested], items.y[tested]


def media(count: int, ports: int, observables: int, noise: float, seed: int) -> tuple[tuple[str, ...], str]:
    """Name some scattering media, and one with as many ports and observables as all of them."""
    query = f"noise={noise}&ports={{}}&observables={{}}&seed={{}}"
    uris = tuple(
        f"scattering://?{query.format(ports, observables, 100 * seed + layer)}" for layer in range(1, count + 1)
    )
    return uris, f"scattering://?{query.format(count * ports, count * observables, 100 * seed)}"


def digits(seed: int, layers: int = 3, ports: int = 20, observables: int = 100, noise: float = 0.02) -> Problem:
    """Digits through scattering media."""
    X, y, T, t = split_digits(seed)
    uris, wide = media(layers, ports, observables, noise, seed)
    return Problem(uris=uris, wide=wide, X=X, y=y, T=T, t=t, seed=seed)


# choose_settings.py --only stack, on digits that no split tests on, found none better than these.
NANOWIRE = "nanowire://?wires={}&electrodes={}&inputs={}&integration_step=2.5e-3&step=5e-3&seed={}"
NANOWIRE_LAYER = {"hold": 4, "rest": 0.15, "amplitude": 1.0, "gain": 0.3, "features": VirtualNodes(1)}


def nanowire(seed: int) -> Problem:
    """Digits through nanowire networks, over MQTT."""
    X, y, T, t = split_digits(seed)
    uris = tuple(NANOWIRE.format(100, 40, 20, 100 * seed + layer) for layer in (1, 2, 3))
    wide = NANOWIRE.format(300, 120, 60, 100 * seed)
    return Problem(uris=uris, wide=wide, X=X, y=y, T=T, t=t, seed=seed, layer=NANOWIRE_LAYER, mqtt=True, passes=6)


def vowels(seed: int) -> Problem:
    """Japanese Vowels through nanowire networks that remember, over MQTT; the data's own split."""
    with np.load(data("japanese_vowels.npz")) as stored:
        parts = {}
        for part in ("train", "test"):
            ends = np.cumsum(stored[f"{part}_lengths"].astype(np.intp))
            parts[part] = np.split(stored[f"{part}_frames"].astype(np.float64), ends[:-1]), stored[f"{part}_speaker"]
    (X, y), (T, t) = parts["train"], parts["test"]
    uris = tuple(NANOWIRE.format(100, 40, 20, 100 * seed + layer) for layer in (1, 2, 3))
    wide = NANOWIRE.format(300, 120, 60, 100 * seed)
    layer = NANOWIRE_LAYER | {"hold": 1}
    return Problem(uris=uris, wide=wide, X=X, y=y, T=T, t=t, seed=seed, layer=layer, segments=3, mqtt=True, passes=8)


def mnist(seed: int) -> Problem:
    """MNIST digits through scattering media."""
    with np.load(data("mnist.npz")) as stored:
        images = {part: stored[f"{part}_images"].reshape(-1, 784) / 255.0 for part in ("train", "test")}
        labels = {part: stored[f"{part}_labels"].astype(np.intp) for part in ("train", "test")}
    generator = np.random.default_rng(seed)
    some = generator.choice(60_000, 10_000, replace=False)
    others = generator.choice(10_000, 2_000, replace=False)
    uris, wide = media(3, 20, 100, 0.02, seed)
    return Problem(
        uris=uris,
        wide=wide,
        X=images["train"][some],
        y=labels["train"][some],
        T=images["test"][others],
        t=labels["test"][others],
        seed=seed,
        passes=10,
    )


def data(name: str) -> Path:
    """Find a file of data, or leave saying what is missing."""
    path = Path(os.environ.get("INMATERIA_DATA") or ".") / name
    if not path.is_file():
        sys.exit(f"{path} is not there; let INMATERIA_DATA name the folder that holds {name}")
    return path


PARTS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "digits": (digits, EVERY),
    "harder": (
        lambda seed: digits(seed, 4, 10, 40),
        ("none", "bottleneck", "bottleneck-in-turn", "hsic", "physics-aware", *NEW, "oracle"),
    ),
    **{
        f"noise {noise}": (
            lambda seed, noise=noise: digits(seed, noise=noise),
            ("none", "bottleneck", "bottleneck-in-turn", "bottleneck-online", "hsic", "physics-aware", "in-silico"),
        )
        for noise in (0.02, 0.05, 0.1, 0.2, 0.3)
    },
    "mismatch": (
        digits,
        ("none", "in-silico", *(f"{name}@{m}" for name in ("in-silico", "physics-aware") for m in MISMATCHES)),
    ),
    "nanowire": (nanowire, tuple(name for name in EVERY if name not in ("oracle", "spsa"))),
    "vowels": (vowels, tuple(name for name in EVERY if name not in ("oracle", "spsa"))),
    "mnist": (mnist, tuple(name for name in EVERY if name != "spsa")),
}


def report(part: str, rows: list[dict[str, dict[str, Any]]]) -> None:
    """Print the table of a part."""
    print(f"\n{part}: mean and standard deviation of {len(rows)} seeds")
    print(f"{'':28} {'last layer':>15} {'all layers':>15} {'stimuli':>9} {'train s':>8} {'learn s':>8} {'overlap':>7}")
    for name in rows[0]:
        found = [row[name] for row in rows]
        last, every = (np.array([each[key] for each in found]) for key in ("last", "all"))
        cost = own = ""
        if "own" in found[0]:
            by_itself = np.array([each["own"] for each in found])
            own = f"   own {by_itself.mean():.3f} +- {by_itself.std():.3f}"
        if "seconds" in found[0]:
            middle = {key: float(np.mean([each[key] for each in found])) for key in ("seconds", "learning", "overlap")}
            cost = f"{middle['seconds']:8.2f} {middle['learning']:8.3f} {middle['overlap']:7.2f}"
        print(
            f"{name:28} {last.mean():.3f} +- {last.std():.3f}   {every.mean():.3f} +- {every.std():.3f} "
            f"{found[0]['stimuli']:>9,} {cost}{own}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.add_argument("--part", default="digits", help="one of those above; 'noise' is all levels")
    parser.add_argument("--seeds", type=int, default=5, help="how many seeds")
    parser.add_argument("--only", help="strategies, separated by commas; all of the part's by default")
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", help="settings of all of --only")
    parser.add_argument("--keep", type=Path, help="file in which results are kept as they come, and found again")
    parser.add_argument("--passes", type=int, help="passes of the strategies by gradient, instead of the part's own")
    asked = parser.parse_args()

    def tell(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    if asked.set and not asked.only:
        parser.error("--set is for the strategies of --only; name them")
    settings = {name: json.loads(value) for name, _, value in (each.partition("=") for each in asked.set)}
    kept = KeptResults(asked.keep)
    parts = [name for name in PARTS if name == asked.part or name.split()[0] == asked.part]
    if not parts:
        sys.exit(f"there is no part {asked.part!r}; there are {', '.join({name.split()[0] for name in PARTS})}")
    results: dict[str, list[dict[str, dict[str, Any]]]] = {}
    for part in parts:
        make, strategies = PARTS[part]
        strategies = tuple(asked.only.split(",")) if asked.only else strategies
        results[part] = []
        for seed in range(asked.seeds):
            tell(f"{part}, seed {seed}")
            problem = make(seed)
            if asked.passes is not None:
                problem = replace(problem, passes=asked.passes)
            results[part].append(asyncio.run(solve(part, problem, strategies, settings, tell, kept)))
    if asked.json:
        print(json.dumps({"claim": "layers trained by local bottlenecks", "parts": results}))
        return
    for part, found in results.items():
        report(part, found)


if __name__ == "__main__":
    main()
