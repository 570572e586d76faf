"""Draw the picture of readouts.md: python docs/readouts_pictures.py."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes

from inmateria.reservoir import KalmanReadout, LMSReadout, RecursiveLeastSquares, RidgeReadout
from inmateria.reservoir.series import mackey_glass
from inmateria.simulators import NanowireNetwork

mpl.use("Agg")
import matplotlib.pyplot as plt


def draw_path(axes: Axes) -> None:
    """Errors of a readout on nanowire voltages over its regularisation: left out, learned and held out."""
    u = mackey_glass(1600)
    network = NanowireNetwork(wires=100, seed=1)
    drive = (u - u.mean())[:-10, np.newaxis] * np.random.default_rng(0).uniform(-1, 1, 8) * 4
    voltages = network.simulate(drive, step=5e-3).voltages[100:]
    noisy = voltages + 1e-4 * np.random.default_rng(1).normal(size=voltages.shape)
    target = u[110:]
    train, test = slice(0, 400), slice(400, None)
    alphas = np.logspace(-7, 4, 40)
    chosen = RidgeReadout(alphas).fit(noisy[train], target[train])
    learned, held_out = [], []
    for alpha in alphas:
        readout = RidgeReadout(alpha, validation=None).fit(noisy[train], target[train])
        for errors, part in ((learned, train), (held_out, test)):
            errors.append(np.mean((readout.predict(noisy[part]) - target[part]) ** 2))
    axes.loglog(alphas, learned, "0.6", label="learned samples")
    axes.loglog(alphas, -chosen.loo_scores_, "C0", label="left out, exactly")
    axes.loglog(alphas, held_out, "C3", label="held out")
    axes.axvline(chosen.alpha_, color="C0", linestyle=":", label="chosen")
    axes.set(xlabel="alpha", ylabel="mean squared error", title="Ridge path, 400 samples of 100 voltages")
    axes.legend(fontsize=7)


def draw_drift(axes: Axes) -> None:
    """Errors over time of readouts on a device whose right weights walk."""
    generator = np.random.default_rng(3)
    X = generator.normal(size=(4000, 20))
    weights = np.cumsum(generator.normal(size=(4000, 20)) * 0.02, axis=0) + generator.normal(size=20)
    y = np.einsum("ij,ij->i", X, weights) + 0.1 * generator.normal(size=4000)
    for name, readout in {
        "static (RLS, forgetting 1)": RecursiveLeastSquares(),
        "LMSReadout(0.5)": LMSReadout(0.5),
        "RLS, forgetting .95": RecursiveLeastSquares(0.95),
        "KalmanReadout(.04)": KalmanReadout(0.04),
    }.items():
        squared = (readout.learn(X, y) - y) ** 2
        smooth = np.convolve(squared, np.ones(100) / 100, mode="valid")
        nrmse = np.sqrt(np.mean(squared[1000:])) / y[1000:].std()
        axes.semilogy(np.sqrt(smooth) / y.std(), label=f"{name}: {nrmse:.3f}")
    axes.set(xlabel="sample", ylabel="NRMSE before learning", title="Weights that walk at random")
    axes.legend(fontsize=7, title="after 1,000 samples", title_fontsize=7)


def main() -> None:
    """Draw both side by side."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    draw_path(axes[0])
    draw_drift(axes[1])
    figure.savefig(Path(__file__).parent / "images" / "readouts.png", dpi=90)


if __name__ == "__main__":
    main()
