"""What a simulated culture says of itself, as a substrate."""

import zlib
from collections.abc import Mapping
from typing import Any

from inmateria.simulators.culture.tissue import Tissue
from inmateria.substrate import Channel, Layout, Limits, SubstrateInfo

_IN_NAME = ("neurons", "seed", "days")
"""Parameters that the name says, and the age: the same culture a week later is the same culture."""


def describe(own: Mapping[str, Any], defaults: Mapping[str, Any], tissue: Tissue) -> SubstrateInfo:
    """Describe a culture of some parameters; those that are not the defaults mark its name."""
    digits = max(2, len(str(own["electrodes"] - 1)))
    names = [f"e{k:0{digits}d}" for k in range(own["electrodes"])]
    unusual = {key: value for key, value in own.items() if key not in _IN_NAME and value != defaults[key]}
    variant = f"-{zlib.crc32(repr(sorted(unusual.items())).encode()):08x}" if unusual else ""
    dt, step = float(own["dt"]), float(own["step"])
    return SubstrateInfo(
        id=f"culture-{own['neurons']}-{own['seed']}" + variant,
        kind="neural-culture",
        inputs=tuple(Channel(name=name, unit="A", low=0.0, high=own["current_limit"]) for name in names),
        outputs=tuple(Channel(name=name, unit="1", low=0.0, high=1.0) for name in names),
        step=step,
        sampling_rate=None,
        spiking=True,
        resettable=True,
        limits=Limits(steps=100_000, shortest_step=min(dt, step), longest_step=max(60.0, step)),
        parameters=dict(own),
        layout=Layout(
            unit="um",
            points=tuple((x, y) for x, y in tissue.neurons.tolist()),
            electrodes={name: (x, y) for name, (x, y) in zip(names, tissue.electrodes.tolist(), strict=True)},
        ),
    )
