"""A network that learns exclusive or, supervised by the real firmware in an emulated chip, beside the same without one.

The network is the one of 32 transistors (docs/learning_networks.md), its gates with 128 levels. As in the published
machines (Dillavou et al., 2022 and 2024), each edge moves its own gate by its local rule; a supervisor imposes the
inputs, reads the outputs of the free state, clamps them a part of the way to their labels, and closes the switch of the
updates. Here the supervisor does all of that through the board: it reads with the ten bits of the chip's converter and
sets with its 8 bits of PWM and the 128 steps of its digital potentiometers.

    python benchmarks/board_learns_xor.py
    python benchmarks/board_learns_xor.py --starts 2 --epochs 2000 --json
"""

import argparse
import asyncio
import json
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from inmateria.adapters import SimulatedSubstrate
from inmateria.adapters.boards.emulator import EmulatedBoard
from inmateria.adapters.boards.substrate import serial_from_uri
from inmateria.simulators import ContrastiveNetwork, CoupledLearning, Imperfections
from inmateria.substrate import Channel, Substrate

HIGH, LABEL = 0.45, -0.087
X = HIGH * np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float64)
Y = np.array([0, LABEL, LABEL, 0])
MEAN = float(np.sqrt(np.mean((Y - Y.mean()) ** 2)))
"""Error of naming the mean, V."""
CLAMPING = 0.5
RATE = (1.0, 1 / 16)
ENOUGH = 2e-3
"""Error at which the supervisor stops, V; as everything else chosen on seeds 100 to 105."""
STEP = 5e-4
"""Duration of a step, s: four updates, two before the board reads and two after."""
WIRED = ("l00", "u00", "u01", "learn")
"""The network's inputs on D3, D5, pot0 and pot1."""


class Start(NamedTuple):
    """How one start ended.

    Parameters
    ----------
    error, read : float
        Error of the outputs, V: as they are, and as the supervisor read them last.
    epochs : int
        Epochs until it stopped.
    seconds : float
        Of the wall.
    """

    error: float
    read: float
    epochs: int
    seconds: float


def network_of(seed: int, levels: int | None = 128) -> ContrastiveNetwork:
    """Return the network; its rule takes the clamping voltage itself, which the supervisor makes."""
    return ContrastiveNetwork(
        seed=seed,
        rule=CoupledLearning(eta=1.0, alpha=80.0),
        imperfections=Imperfections(levels=levels),
        high=HIGH,
        update_interval=STEP / 4,
    )


def error_of(network: ContrastiveNetwork) -> float:
    """Return the error of its outputs as they are, V."""
    return float(np.sqrt(np.mean((network.predict(X)[:, 0] - Y) ** 2)))


class Scale(NamedTuple):
    """A divider or an amplifier between a channel of the board and one of the network."""

    board: Channel
    network: Channel

    def to_board(self, volts: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the value of the board's channel, within its range."""
        share = np.clip((volts - self.network.low) / (self.network.high - self.network.low), 0, 1)
        return np.asarray(self.board.low + share * (self.board.high - self.board.low))

    def to_network(self, value: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the value at the network."""
        # The converter's last level is one below the voltage of its reference.
        share = (value - self.board.low) / (self.board.high - self.board.low)
        return np.asarray(self.network.low + share * (self.network.high - self.network.low))


async def supervised(
    substrate: Substrate,
    network: ContrastiveNetwork,
    drives: Sequence[str],
    reads: Sequence[str],
    epochs: int,
    clamping_level: float = 0.0,
) -> tuple[float, int]:
    """Train it through these channels of a substrate; return the last error read (V) and the number of epochs.

    Parameters
    ----------
    substrate : Substrate
        The network itself, or a board.
    network : ContrastiveNetwork
        For the ranges of its channels.
    drives, reads : sequence of str
        Channels of the substrate: the clamp, both inputs and `learn`; and the output's nodes, plus and minus.
    epochs : int
        Most of them.
    clamping_level : float
        Distance of the levels of the clamp, V. Each clamping voltage is moved by a random part of it, so that rounding
        to a level does not always err to the same side: 0 V lies between two levels.
    """
    generator = np.random.default_rng(0)
    info, wired = substrate.info, {channel.name: channel for channel in network.info.inputs}
    at = [[channel.name for channel in info.inputs].index(name) for name in drives]
    outputs = [[channel.name for channel in info.outputs].index(name) for name in reads]
    down = [Scale(info.inputs[k], wired[name]) for k, name in zip(at, WIRED, strict=True)]
    up = [
        Scale(info.outputs[k], network.info.outputs[node])
        for k, node in zip(outputs, network.output_nodes[0], strict=True)
    ]
    drive = np.tile(info.rest_drive(), (8, 1))  # four points learned, then the same four read
    drive[:, at[0]] = down[0].to_board(np.zeros(8))
    for k in (0, 1):
        drive[:, at[1 + k]] = down[1 + k].to_board(np.tile(X[:, k], 2))
    drive[:, at[3]] = down[3].to_board(np.zeros(8))

    async def read(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        signal = (await substrate.stimulate(info.stimulus(rows, STEP))).signal
        assert signal is not None
        # Without a chip between them every update is a sample, and the state before the last is read.
        plus, minus = (scale.to_network(signal[-4:, -1, k]) for scale, k in zip(up, outputs, strict=True))
        return np.asarray(plus - minus)

    free = await read(drive[4:])
    for epoch in range(epochs):
        error = float(np.sqrt(np.mean((free - Y) ** 2)))
        if error < ENOUGH:
            return error, epoch
        rate = RATE[0] * (RATE[1] / RATE[0]) ** (epoch / epochs)
        shift = clamping_level * generator.uniform(-0.5, 0.5, 4)
        drive[:4, at[0]] = down[0].to_board(free + CLAMPING * (Y - free) + shift)
        drive[:4, at[3]] = down[3].to_board(np.full(4, rate))
        free = await read(drive)
    return float(np.sqrt(np.mean((free - Y) ** 2))), epochs


async def direct(seed: int, epochs: int, levels: int | None) -> Start:
    """Train without a chip: voltages are read and set to the last bit."""
    begun, network = time.perf_counter(), network_of(seed, levels)
    plus, minus = network.output_nodes[0]
    names = [channel.name for channel in network.info.outputs]
    async with SimulatedSubstrate(network) as substrate:
        read, done = await supervised(substrate, network, WIRED, (names[plus], names[minus]), epochs)
    return Start(error_of(network), read, done, time.perf_counter() - begun)


async def through_board(seed: int, epochs: int, speed: float = 1.0) -> Start:
    """Train through the firmware in the emulated chip."""
    begun, network = time.perf_counter(), network_of(seed)
    names = [channel.name for channel in network.info.inputs]
    inputs = tuple(names.index(name) for name in WIRED)
    with EmulatedBoard(network, inputs=inputs, outputs=network.output_nodes[0], speed=speed) as board:
        async with serial_from_uri(f"{board.uri}?step={STEP}&watchdog=30&timeout=60") as substrate:
            level = (network.info.inputs[2].high - network.info.inputs[2].low) / 255
            pins, converters = ("D3", "D5", "pot0", "pot1"), ("A0", "A1")
            read, done = await supervised(substrate, network, pins, converters, epochs, level)
    return Start(error_of(network), read, done, time.perf_counter() - begun)


def table(rows: dict[str, list[Start]]) -> str:
    """Return a table of the starts, and their means and spreads."""
    lines = []
    for name, starts in rows.items():
        errors = 1e3 * np.array([start.error for start in starts])
        lines.append(
            f"{name}: {errors.mean():.2f} ± {errors.std():.2f} mV, median {np.median(errors):.2f} mV, "
            f"{(errors < 5).sum()} of {len(errors)} below 5 mV, naming the mean {1e3 * MEAN:.1f} mV; "
            f"epochs {np.mean([start.epochs for start in starts]):.0f}, "
            f"{np.mean([start.seconds for start in starts]):.1f} s a start; "
            + " ".join(f"{error:.2f}" for error in errors)
        )
    return "\n".join(lines)


def main() -> None:
    """Run the starts and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=10)
    parser.add_argument("--first", type=int, default=0, help="seed of the first start")
    parser.add_argument("--epochs", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    seeds = range(given.first, given.first + given.starts)

    async def run() -> dict[str, list[Start]]:
        return {
            "direct": [await direct(seed, given.epochs, None) for seed in seeds],
            "direct, gates of 128 levels": [await direct(seed, given.epochs, 128) for seed in seeds],
            "through the chip": [await through_board(seed, given.epochs) for seed in seeds],
        }

    rows = asyncio.run(run())
    if given.json:
        print(json.dumps({name: [start._asdict() for start in starts] for name, starts in rows.items()}))
    else:
        print(table(rows))


if __name__ == "__main__":
    main()
