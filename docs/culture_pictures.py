"""Draw the pictures of culture.md and print the figures beside them: python docs/culture_pictures.py."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes

from inmateria.simulators import Activity, NeuralCulture, Pulses

mpl.use("Agg")
import matplotlib.pyplot as plt

COLOUR = {"asynchronous": "C0", "bursting": "C3"}
BIN = 0.025  # s
BURST = 10.0  # Hz, mean over all neurons: above it the network bursts
DAY = 86_400.0


def settled(**parameters: object) -> NeuralCulture:
    """Make a culture and let it come to its ways."""
    culture = NeuralCulture(**parameters)
    culture.run(3.0)
    return culture


def population(activity: Activity) -> np.ndarray:
    """Mean rate of 1,000 neurons in each bin, Hz."""
    edges = np.arange(0, activity.duration + BIN / 2, BIN)
    return np.histogram(activity.neuron_spikes["time"], edges)[0] / 1000 / BIN


def bursts(activity: Activity) -> tuple[np.ndarray, np.ndarray, float]:
    """Begin and end of each network burst, s, and what part of all spikes lies in them."""
    high = np.r_[False, population(activity) > BURST, False]
    begin, end = (np.flatnonzero(np.diff(high.astype(int)) == way) * BIN for way in (1, -1))
    inside = np.searchsorted(begin, activity.neuron_spikes["time"], side="right") > np.searchsorted(
        end, activity.neuron_spikes["time"], side="right"
    )
    return begin, end, float(inside.mean())


def interval_variation(activity: Activity) -> float:
    """Mean coefficient of variation over the electrodes with more than 20 intervals."""
    found = []
    for electrode in range(32):
        intervals = np.diff(activity.spikes["time"][activity.spikes["channel"] == electrode])
        if len(intervals) > 20:
            found.append(intervals.std() / intervals.mean())
    return float(np.mean(found))


def draw_raster(axes: Axes, regime: str) -> None:
    """Spikes of 200 neurons and the rate of all."""
    activity = settled(regime=regime, seed=0).run(20.0, neuron_spikes=True)
    spikes = activity.neuron_spikes[activity.neuron_spikes["channel"] % 5 == 0]
    axes.plot(spikes["time"], spikes["channel"], ".", color="0.3", markersize=1.5)
    axes.axhline(800, color="0.6", linewidth=0.7)
    axes.set(xlabel="time (s)", ylabel="neuron (inhibitory above 800)", title=f"Every fifth neuron, {regime}")
    rate = axes.twinx()
    rate.plot(np.arange(len(population(activity))) * BIN, population(activity), color=COLOUR[regime], linewidth=0.9)
    rate.set(ylabel="mean rate (Hz)", ylim=(0, max(60, 1.05 * population(activity).max())))


def draw_rates(axes: Axes) -> None:
    """Rates of neurons and electrodes in both regimes."""
    edges = np.geomspace(0.02, 50, 30)
    for regime, colour in COLOUR.items():
        rates, of_neurons = [], []
        for seed in range(4):
            activity = settled(regime=regime, seed=seed).run(60.0, neuron_spikes=True)
            each = np.bincount(activity.spikes["channel"], minlength=32) / 60
            rates.append(each)
            of_neurons.append(np.bincount(activity.neuron_spikes["channel"], minlength=1000) / 60)
            print(
                f"{regime}, seed {seed}: {each.mean():.2f} Hz an electrode, {(each > 0.1).sum()} of 32 active, "
                f"interval CV {interval_variation(activity):.2f}, {of_neurons[-1].mean():.2f} Hz a neuron"
            )
        axes.hist(np.concatenate(of_neurons), edges, color=colour, alpha=0.4, density=False, label=f"neurons, {regime}")
        counts = np.histogram(np.concatenate(rates), edges)[0]
        axes.step(edges[1:], counts * 10, where="pre", color=colour, label=f"electrodes x 10, {regime}")
    axes.set(xscale="log", xlabel="rate (Hz)", ylabel="count, 4 cultures of 1,000", title="Rates over 60 s")
    axes.legend(fontsize=7)


def draw_bursts(axes: Axes) -> None:
    """Intervals between network bursts, and their durations."""
    gaps, lengths = [], []
    for seed in range(4):
        activity = settled(regime="bursting", seed=seed).run(240.0, neuron_spikes=True)
        begin, end, inside = bursts(activity)
        gaps.append(np.diff(begin))
        lengths.append(end - begin)
        print(
            f"bursting, seed {seed}: {len(begin) / 4:.1f} bursts a minute, {inside:.0%} of the spikes in them, "
            f"intervals {np.diff(begin).mean():.1f} s (CV {np.diff(begin).std() / np.diff(begin).mean():.2f}), "
            f"lengths {(end - begin).mean() * 1e3:.0f} ms"
        )
    axes.hist(np.concatenate(gaps), 30, color="C3", alpha=0.6)
    axes.set(xlabel="interval between network bursts (s)", ylabel="count, 4 cultures, 4 minutes each")
    axes.set_title(f"Bursts: {len(np.concatenate(lengths))}, mean length {np.concatenate(lengths).mean() * 1e3:.0f} ms")


def draw_evoked(by_distance: Axes, by_latency: Axes) -> None:
    """Evoked less expected spikes by distance of the electrode from the pulse, and all of them by latency."""
    edges = np.arange(-0.05, 0.2001, 0.005)
    for amplitude in (1e-6, 2e-6, 3e-6):
        culture = settled(seed=3, regime="asynchronous")
        places = culture.electrode_positions
        rings, members, latency = np.zeros(6), np.zeros(6), np.zeros(len(edges) - 1)
        for trial in range(160):
            activity = culture.run(2.0, Pulses(1.0, trial % 32, amplitude))
            ring = np.minimum(np.round(np.hypot(*(places - places[trial % 32]).T) / 200), 5).astype(int)
            time, where = activity.spikes["time"] - 1.0, ring[activity.spikes["channel"]]
            rings += np.bincount(where[(time >= 0) & (time < 0.1)], minlength=6)
            rings -= np.bincount(where[(time >= -0.9) & (time < 0)], minlength=6) / 9
            members += np.bincount(ring, minlength=6)
            latency += np.histogram(time, edges)[0] / 0.005 / 160 / 32
        by_distance.plot(np.arange(6) * 200, rings / members, "o-", label=f"{amplitude * 1e6:.0f} uA")
        by_latency.step(edges[:-1] * 1e3, latency, where="post", label=f"{amplitude * 1e6:.0f} uA")
        rest = latency[edges[:-1] < -1e-9].mean()
        print(
            f"evoked at {amplitude * 1e6:.0f} uA, spikes an electrode and pulse by 200 um: "
            f"{np.round(rings / members, 3)}; "
            f"rate 0 to 20, 20 to 50, 50 to 100, 100 to 200 ms less {rest:.2f} Hz before: "
            + ", ".join(
                f"{latency[(edges[:-1] >= a - 1e-9) & (edges[:-1] < b - 1e-9)].mean() - rest:.2f}"
                for a, b in ((0, 0.02), (0.02, 0.05), (0.05, 0.1), (0.1, 0.2))
            )
        )
    by_distance.set(
        xlabel="distance from the stimulated electrode (um)", ylabel="evoked spikes in 100 ms", title="By distance"
    )
    by_latency.set(xlabel="time after the pulse (ms)", ylabel="rate of an electrode (Hz)", title="By latency")
    for axes in (by_distance, by_latency):
        axes.legend(fontsize=7)


def draw_fatigue(axes: Axes) -> None:
    """Response of the neurons around an electrode to pulse after pulse."""
    for interval in (0.1, 0.5, 2.0):
        answers = []
        for seed in range(6):
            culture = settled(seed=seed, regime="asynchronous")
            times = np.arange(40) * interval + 0.01
            fired = culture.run(40 * interval + 0.05, Pulses(times, 10, 2e-6), neuron_spikes=True).neuron_spikes
            near = np.hypot(*(culture.positions - culture.electrode_positions[10]).T)[fired["channel"]] < 150
            after = fired["time"][near, np.newaxis] - times
            answers.append(((after >= 0) & (after < 0.015)).sum(axis=0))
        mean = np.mean(answers, axis=0)
        axes.plot(np.arange(1, 41), mean, ".-", label=f"every {interval:g} s")
        print(f"pulses every {interval:g} s: first {mean[0]:.1f}, last ten {mean[-10:].mean():.1f} spikes near by")
    axes.set(xlabel="pulse", ylabel="spikes within 15 ms and 150 um", title="Fatigue: 2 uA, mean of 6 cultures", ylim=0)
    axes.legend(fontsize=7)


def draw_voltage(axes: Axes) -> None:
    """Raw voltage of three electrodes around a pulse."""
    culture = settled(seed=2, regime="asynchronous")
    activity = culture.run(0.2, Pulses(0.05, 13, 2e-6), voltage=True)
    time = np.arange(len(activity.voltage)) / 30.0
    distance = np.hypot(*(culture.electrode_positions - culture.electrode_positions[13]).T)
    louder = np.bincount(activity.spikes["channel"], minlength=32)
    near = [13, *(int(k) for k in np.argsort(-louder) if k != 13)][:3]
    for row, electrode in enumerate(near):
        trace = np.clip(activity.voltage[:, electrode] * 1e6, -300, 300)
        axes.plot(time, trace - 500 * row, linewidth=0.5, color=f"C{row}")
        axes.text(202, -20 - 500 * row, f"{distance[electrode]:.0f} um away" if row else "stimulated", fontsize=7)
        found = activity.spikes["time"][activity.spikes["channel"] == electrode] * 1e3
        axes.plot(found, np.full(len(found), -330 - 500 * row), "|", color="k", markersize=5)
        axes.axhline(-30 - 500 * row, color="0.7", linewidth=0.5, linestyle=":")
    axes.set(
        xlabel="time (ms)", ylabel="voltage (uV), cut at 300", title="30 kHz, 2 uA at 50 ms; bars: detected spikes"
    )


def draw_drift(axes: Axes) -> None:
    """How alike the rates of all neurons are to those of the first day."""
    days = np.array([0, 1, 3, 7, 14, 30, 60])
    for seed in range(2):
        alike = []
        for day in days:
            culture = NeuralCulture(seed=seed, regime="asynchronous", days=float(day))
            culture.run(2.0)
            fired = culture.run(40.0, neuron_spikes=True).neuron_spikes
            alike.append(np.bincount(fired["channel"], minlength=1000))
        values = [np.corrcoef(alike[0], each)[0, 1] for each in alike]
        print(f"drift, seed {seed}, days {days.tolist()}: {np.round(values, 2).tolist()}")
        axes.plot(days, values, "o-", label=f"seed {seed}")
    axes.plot(np.arange(61), np.exp(-0.05 * np.arange(61)), color="0.6", linestyle=":", label="exp(-0.05 days)")
    axes.set(xlabel="days", ylabel="correlation of the neurons' rates", title="Drift", ylim=(-0.1, 1.05))
    axes.legend(fontsize=7)


def main() -> None:
    """Draw all of them into two files."""
    images = Path(__file__).parent / "images"
    figure, axes = plt.subplots(2, 2, figsize=(11, 8), layout="constrained")
    for where, regime in zip(axes[0], COLOUR, strict=True):
        draw_raster(where, regime)
    draw_rates(axes[1, 0])
    draw_bursts(axes[1, 1])
    figure.savefig(images / "culture.png", dpi=90)
    figure, axes = plt.subplots(3, 2, figsize=(11, 11), layout="constrained")
    draw_evoked(*axes[0])
    draw_fatigue(axes[1, 0])
    draw_drift(axes[1, 1])
    axes[2, 0].remove()
    axes[2, 1].remove()
    draw_voltage(figure.add_subplot(axes[2, 0].get_gridspec()[2, :]))
    figure.savefig(images / "culture_evoked.png", dpi=90)


if __name__ == "__main__":
    main()
