"""Draw the pictures of passports.md and print its table of drift and error: python docs/passport_pictures.py."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import matplotlib as mpl
import msgspec
import numpy as np
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from inmateria.adapters import SimulatedSubstrate
from inmateria.devices import Probe, bind, calibrate, compare, transfer
from inmateria.devices.passport_figures import drift
from inmateria.devices.passports import Passport, ReadoutRecord, ScoreRecord
from inmateria.reservoir import InputMask, PhysicalReservoir, RidgeReadout, VirtualNodes, mackey_glass, nrmse
from inmateria.simulators import NanowireNetwork, Variability

mpl.use("Agg")
import matplotlib.pyplot as plt

IMAGES = Path(__file__).parent / "images"
BEGUN = datetime(2026, 1, 1, 12, tzinfo=UTC)
DAY = 86400.0
AHEAD, WASHOUT = 5, 100
PROBE = Probe(steps=20, repeats=10, step=0.05, rest=0.5)


def new_network(seed: int) -> NanowireNetwork:
    """Make a network that ages by 2 % a day."""
    return NanowireNetwork(
        seed=seed, electrodes=32, variability=Variability(noise=0.02, aging=0.02), integration_step=5e-3
    )


def reservoir_of(network: NanowireNetwork) -> PhysicalReservoir:
    """Put a mask before it and two samples of each step behind it."""
    return PhysicalReservoir(
        SimulatedSubstrate(network), InputMask(scale=1.5, seed=0), VirtualNodes(2), step=0.05, washout=WASHOUT
    )


def series(begin: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Give a part of the Mackey-Glass series and what comes five steps later."""
    whole = mackey_glass(6000)
    whole = 2 * (whole - whole.min()) / np.ptp(whole) - 1
    return whole[begin : begin + steps], whole[begin + AHEAD : begin + AHEAD + steps]


async def life(seed: int, days: list[int]) -> tuple[Passport, list[tuple[float, float, float, float]]]:
    """Train on the first day; then give drift, and the errors of the old, the moved and a new readout."""
    network = new_network(seed)
    (u, y), (fresh, wanted) = series(0, 2100), series(3000, 1000)
    calibrations, scores, errors = [], [], []
    async with reservoir_of(network) as reservoir:
        old = make_pipeline(StandardScaler(), RidgeReadout()).fit(await reservoir.run(u), y[WASHOUT:])
        bound = await bind(old, reservoir, u[:400], probe=PROBE)
        today = 0
        for day in days:
            network.age((day - today) * DAY)
            today = day
            taken = (BEGUN + timedelta(days=day)).isoformat(timespec="seconds")
            now = await calibrate(reservoir.substrate, PROBE) if day else bound.fingerprint
            calibrations.append(msgspec.structs.replace(now, taken=taken))
            moved = await transfer(bound, reservoir)
            own = make_pipeline(StandardScaler(), RidgeReadout()).fit(await reservoir.run(u), y[WASHOUT:])
            X = await reservoir.run(fresh)
            found = [nrmse(wanted[WASHOUT:], each.predict(X)) for each in (old, moved.readout.estimator, own)]
            errors.append((compare(bound.fingerprint, now).distance, *found))
            for name, error in zip(("readout of the first day", "carried over, no labels"), found, strict=False):
                scores.append(
                    ScoreRecord(
                        taken=taken, task="forecast", readout=name, read_from="substrate", control=False,
                        metric="1 - NRMSE", score=1 - error, chance=0.0, folder="",
                    )
                )  # fmt: skip
    kept = ReadoutRecord(name="forecast", taken=calibrations[0].taken, bound=bound.bound)
    first = replace(bound, fingerprint=calibrations[0]).fingerprint.taken
    return Passport(
        info=network.info, first_seen=first, calibrations=tuple(calibrations), scores=tuple(scores), readouts=(kept,)
    ), errors


def main() -> None:
    """Draw the passport of one network, and the errors of ten against their drift."""
    passport, _ = asyncio.run(life(3, list(range(0, 61, 4))))
    drift(passport).savefig(IMAGES / "passport.png", dpi=100)
    lives = np.array([asyncio.run(life(seed, [0, 3, 10, 30, 100, 300]))[1] for seed in range(10)])
    figure, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    distance, *errors = lives.transpose(2, 0, 1).reshape(4, -1)
    for values, name, colour in zip(
        errors[:2], ("readout of the first day", "carried over, no labels"), ("C3", "C0"), strict=True
    ):
        ax.plot(distance, values / errors[2], "o", ms=4, color=colour, label=name)
    ax.axhline(1, color="0.6", lw=0.8)
    ax.axvline(0.1, color="0.6", ls="--", lw=0.8, label="default bound")
    ax.set(
        xlabel="drift: distance of the fingerprints", ylabel="error, relative to a new readout",
        title="What drift costs, ten nanowire networks",
    )  # fmt: skip
    ax.legend(fontsize=8, frameon=False)
    figure.savefig(IMAGES / "drift_cost.png", dpi=100)
    print("drift | readouts | old / new | moved / new")
    for low, high in ((0, 0.05), (0.05, 0.1), (0.1, 0.2), (0.2, 0.4), (0.4, 2)):
        chosen = (distance >= low) & (distance < high)
        if chosen.any():
            old, moved = (values[chosen] / errors[2][chosen] for values in errors[:2])
            print(
                f"{low} to {high} | {chosen.sum()} | {old.mean():.2f} ± {old.std():.2f} | "
                f"{moved.mean():.2f} ± {moved.std():.2f}"
            )


if __name__ == "__main__":
    main()
