"""Draws the picture of docs/local_training.md: python docs/local_training_pictures.py.

Three simulated nanowire networks behind an embedded broker answer batches of digits; every bar is an exchange.
"""

import asyncio
from collections.abc import Iterable
from contextlib import AsyncExitStack
from pathlib import Path

from matplotlib.figure import Figure
from sklearn.datasets import load_digits

from inmateria.adapters import DeviceServer, EmbeddedBroker, connect
from inmateria.figure_style import BLUE, GREEN, GREY, RED, style_axes
from inmateria.reservoir import PhysicalLayer, PhysicalStack, VirtualNodes, training_named
from inmateria.reservoir.layers.stack import LayerExchange

IMAGES = Path(__file__).parent / "images"
COLOURS = (RED, BLUE, GREEN, GREY)


async def exchanges() -> list[LayerExchange]:
    """Train three networks at once, two passes over 384 digits in batches of 64."""
    X, y = load_digits(return_X_y=True)
    async with AsyncExitStack() as exits:
        broker = await exits.enter_async_context(EmbeddedBroker())
        servers = [
            await exits.enter_async_context(
                DeviceServer(
                    connect(f"nanowire://?electrodes=40&inputs=20&integration_step=2.5e-3&step=5e-3&seed={seed}"),
                    broker.uri,
                    name=f"nwn-{seed}",
                )
            )
            for seed in (1, 2, 3)
        ]
        layers = [
            PhysicalLayer(substrate=server.uri, hold=4, rest=0.15, features=VirtualNodes(1)) for server in servers
        ]
        stack = PhysicalStack(layers, train=training_named("bottleneck", passes=2, batch_size=64))
        async with stack:
            await stack.fit(X[:384] / 16.0, y[:384])
        return list(stack.trace)


def draw(trace: Iterable[LayerExchange]) -> Figure:
    """Draw a bar for each exchange, a row for each layer, a colour for each batch."""
    trace = list(trace)
    start = min(each.begin for each in trace)
    figure = Figure(figsize=(9, 2.2), layout="constrained")
    ax = figure.subplots()
    for each in trace:
        ax.barh(
            each.layer + 1,
            each.end - each.begin,
            left=each.begin - start,
            height=0.7,
            color=COLOURS[each.batch % len(COLOURS)],
        )
        middle = (each.begin + each.end) / 2 - start
        ax.text(middle, each.layer + 1, str(each.batch), ha="center", va="center", color="white", fontsize=7)
    ax.set(xlabel="time (s); the number is the batch's, each pass anew", ylabel="layer", yticks=(1, 2, 3))
    ax.invert_yaxis()
    style_axes(ax)
    return figure


if __name__ == "__main__":
    draw(asyncio.run(exchanges())).savefig(IMAGES / "stack_trace.png", dpi=110)
