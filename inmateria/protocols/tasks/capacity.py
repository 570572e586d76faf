"""Memory and information processing capacity of a substrate for a random input.

One uniform series drives every input, each in a strength of its own. Memory capacity asks for the input of k
steps ago, information processing capacity for products of Legendre polynomials of past inputs. Beside the
substrate stand the masked input, the bare series, and the controls of every task, each with its usual settings: nothing
is chosen here.
"""

import asyncio
from itertools import pairwise
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from inmateria.protocols.controls import Control
from inmateria.protocols.outcome import Curves, Outcome, Score, weights_by_output
from inmateria.protocols.presenting import present_series
from inmateria.protocols.run_progress import Targets
from inmateria.protocols.task import ProgressCallback, Task, samples_read
from inmateria.recording import reading_order, realigned
from inmateria.reservoir import (
    InformationProcessingCapacity,
    InputMask,
    MemoryCapacity,
    information_processing_capacity,
    memory_capacity,
)
from inmateria.substrate import FloatArray, Substrate, SubstrateInfo

_BLOCKS = 4
_RECALLED = 6
_WATCHED = (1, 2, 4, 8)


class CapacitySettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of `capacity`.

    Parameters
    ----------
    seed : int
        Of the series and the input mask.
    amplitude : float
        Largest drive, as a fraction of each input's room around its rest.
    offset : float
        Drive for an input of zero, as a fraction of that; it breaks the symmetry of an odd substrate.
    step : float
        Duration of a step on the device, s; 0 for the device's own.
    samples : int
        Samples of every step that the readout reads.
    steps : int
        Length of the series, washout included.
    washout : int
        Steps at the beginning that are left out.
    delays : int
        Longest delay of the memory that is asked for, in steps.
    degree : int
        Largest total degree of the products.
    product_delays : int
        Longest delay in products of degree two and more, in steps.
    round_trips : int
        Exchanges of a single step made first, to measure the round trip.
    """

    seed: Annotated[int, Meta(ge=0)] = 0
    amplitude: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.15
    offset: Annotated[float, Meta(ge=-1.0, le=1.0)] = 0.0
    step: Annotated[float, Meta(ge=0.0)] = 0.05
    samples: Annotated[int, Meta(ge=1)] = 1
    steps: Annotated[int, Meta(ge=2000)] = 12_000
    washout: Annotated[int, Meta(ge=0)] = 200
    delays: Annotated[int, Meta(ge=1, le=300)] = 40
    degree: Annotated[int, Meta(ge=1, le=8)] = 4
    product_delays: Annotated[int, Meta(ge=0, le=50)] = 8
    round_trips: Annotated[int, Meta(ge=1)] = 200


async def measure_capacity(substrate: Substrate, settings: CapacitySettings, on_progress: ProgressCallback) -> Outcome:
    """Drive the substrate with a random series, and measure the capacities of linear readouts of its states."""
    products_reach = settings.product_delays if settings.degree > 1 else 0
    start = max(settings.washout, settings.delays, products_reach)
    edges = np.linspace(start, settings.steps, _BLOCKS + 1).astype(int).tolist()
    blocks = list(pairwise(edges))[::-1]  # the last one first
    if edges[1] - edges[0] < 10 * settings.delays:
        raise ValueError(
            f"{settings.steps} steps leave {edges[1] - edges[0]} for each of {_BLOCKS} blocks; give more steps, or ask "
            f"for less than {settings.delays} delays"
        )
    u = np.random.default_rng(settings.seed).uniform(-1, 1, settings.steps)
    # Scaled so that the offset and the largest input together are the largest drive.
    mask = InputMask(
        amplitude=settings.amplitude,
        scale=1 - abs(settings.offset),
        offset=settings.offset,
        kind="uniform",
        seed=settings.seed,
        clip=True,
    )
    presented = await present_series(
        u,
        substrate,
        mask,
        settings.round_trips,
        on_progress,
        step=settings.step or None,
        samples=settings.samples,
        targets=Targets.of_numbers(
            {f"{back} back": _delayed(u, back) for back in _WATCHED}, washout=start, metric="r²"
        ),
    )
    feature_sets = presented.by_step(seed=settings.seed)
    bounds = dict.fromkeys(range(2, settings.degree + 1), settings.product_delays) | {1: settings.delays}
    scores: list[Score] = []
    memories: dict[str, list[MemoryCapacity]] = {}
    products: dict[str, list[InformationProcessingCapacity]] = {}
    done, of = 0, len(feature_sets) * _BLOCKS
    for on, given in feature_sets.items():
        X = given if isinstance(given, np.ndarray) else await asyncio.to_thread(_usual, given)
        memories[on], products[on] = [], []
        for block in blocks:
            recalled, computed = await asyncio.to_thread(_measure, X, u, settings.delays, bounds, start, block)
            memories[on].append(recalled)
            products[on].append(computed)
            done += 1
            on_progress("measuring", done, of, settings.steps)
        kind = given.kind if isinstance(given, Control) else ""
        scores += _scores(on, X.shape[1], memories[on], products[on], kind)
    facts = await asyncio.to_thread(_order_of_reading, np.concatenate(presented.responses), u, settings, start, blocks)
    return Outcome(
        title="Memory and information processing capacity",
        sentence=f"A random series was to be recalled 1 to {settings.delays} steps later, and products of its past "
        f"values up to degree {settings.degree} were to be computed; the capacities of linear readouts are added up.",
        metric="capacity",
        items="steps",
        chance=0.0,
        chance_description="below the threshold counts as 0",
        trained=settings.steps - start - (blocks[0][1] - blocks[0][0]),
        held_out=blocks[0][1] - blocks[0][0],
        splitting=f"{_BLOCKS} blocks of time, each held out in turn, the last one first.",
        scores=tuple(scores),
        exchanges=presented.exchanges,
        classes=tuple(f"{delay} back" for delay in range(_RECALLED)),
        weights=_weights(
            np.concatenate(presented.responses)[settings.washout :], u[settings.washout :], presented.outputs
        ),
        curves=_curves(memories, products["substrate"]),
        facts=facts,
    )


def _delayed(u: FloatArray, back: int) -> FloatArray:
    """Return the input of some steps ago (steps,), NaN where there was none."""
    return np.concatenate([np.full(back, np.nan), u[: len(u) - back]])


def _usual(control: Control) -> FloatArray:
    return control.variants[0]


def _measure(
    X: FloatArray, u: FloatArray, delays: int, bounds: dict[int, int], start: int, block: tuple[int, int]
) -> tuple[MemoryCapacity, InformationProcessingCapacity]:
    return (
        _memory(X, u, delays, start, block),
        information_processing_capacity(X, u, bounds, washout=start, held_out=block, check_reading_order=False),
    )


def _memory(X: FloatArray, u: FloatArray, delays: int, start: int, block: tuple[int, int]) -> MemoryCapacity:
    # The order of reading is looked at once, on the whole series.
    return memory_capacity(X, u, delays, washout=start, held_out=block, check_reading_order=False)


def _order_of_reading(
    X: FloatArray, u: FloatArray, settings: CapacitySettings, start: int, blocks: list[tuple[int, int]]
) -> tuple[tuple[str, str], ...]:
    """Return the memory capacity with features that follow the previous input moved to it, if there are any."""
    behind = reading_order(X, u).behind
    if not behind:
        return ()
    aligned, v = realigned(X, u, behind)
    within = [(first, min(last, len(v))) for first, last in blocks]
    capacities = [_memory(aligned, v, settings.delays, start, block).total for block in within]
    return (
        (
            "memory capacity, realigned",
            f"{np.mean(capacities):.2f} ± {np.std(capacities):.2f}: {len(behind)} of {X.shape[1]} features follow the "
            "previous input better than the present one; if they were read before the input was set, this is the "
            "memory, with them one step earlier; of a delay line or a digital network it is the memory as scored",
        ),
    )


def _scores(
    on: str,
    features: int,
    memories: list[MemoryCapacity],
    products: list[InformationProcessingCapacity],
    kind: str,
) -> list[Score]:
    by_name = {"memory capacity": [each.total for each in memories]}
    by_name["IPC, in all"] = [each.total for each in products]
    for degree in products[0].by_degree:
        by_name[f"IPC, degree {degree}"] = [each.by_degree[degree] for each in products]
    return [
        Score(readout=name, on=on, features=features, score=values[0], splits=tuple(values), kind=kind)
        for name, values in by_name.items()
    ]


def _weights(X: FloatArray, u: FloatArray, outputs: list[str]) -> tuple[tuple[float, ...], ...]:
    """Return the weights of a readout that recalls the last few inputs."""
    from sklearn.preprocessing import StandardScaler  # takes a second to load, which the exchanges do without

    from inmateria.reservoir import RidgeReadout

    start = _RECALLED - 1
    recalled = np.stack([u[start - delay : len(u) - delay] for delay in range(_RECALLED)], axis=1)
    readout = RidgeReadout().fit(StandardScaler().fit_transform(X[start:]), recalled)
    return weights_by_output(readout.coef_, outputs)


def _curves(
    memories: dict[str, list[MemoryCapacity]], products: list[InformationProcessingCapacity]
) -> tuple[Curves, ...]:
    """Draw memory by delay, and processing by longest delay, a line a degree."""
    delays = memories["substrate"][0].delays
    lines = {on: tuple(np.mean([each.capacities for each in found], axis=0).tolist()) for on, found in memories.items()}
    lines["threshold"] = (float(np.mean([each.threshold for each in memories["substrate"]])),) * len(delays)
    profile = np.mean([each.profile for each in products], axis=0)
    reach = int(np.flatnonzero(profile.sum(axis=0)).max(initial=1)) + 1
    return (
        Curves(
            heading="How far back it remembers",
            text="Squared correlation of the prediction with the input so many steps ago, mean of the blocks.",
            x_label="delay (steps)",
            y_label="squared correlation",
            x=tuple(float(delay) for delay in delays),
            lines=lines,
        ),
        Curves(
            heading="What it computes",
            text="Capacity above chance for products of past inputs, by the longest delay in them and their degree.",
            x_label="longest delay (steps)",
            y_label="capacity",
            x=tuple(float(delay) for delay in range(reach)),
            lines={f"degree {degree}": tuple(row[:reach].tolist()) for degree, row in enumerate(profile, start=1)},
        ),
    )


def _unused(settings: CapacitySettings, info: SubstrateInfo) -> dict[str, str]:
    return {} if settings.degree > 1 else {"product_delays": "products have a degree of 2 at least, and degree is 1"}


TASK = Task(
    "capacity",
    CapacitySettings,
    measure_capacity,
    needs="signal",
    unused=_unused,
    reads=samples_read,
    validation="data",
)
