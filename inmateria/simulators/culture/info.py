"""The description of a simulated culture as a substrate."""

from inmateria.simulators.culture.parameters import CultureParameters
from inmateria.simulators.culture.tissue import Tissue
from inmateria.simulators.identity import simulator_id
from inmateria.simulators.parameters import plain_values
from inmateria.substrate import Channel, Layout, Limits, SubstrateInfo

_NOT_IN_ID = ("days",)
"""The age: a culture is the same culture a week later."""
_SINCE_THEN = "continuity_correction"
"""A parameter newer than the ids that are known of cultures, which are those without it."""


def describe(parameters: CultureParameters, tissue: Tissue) -> SubstrateInfo:
    """Describe a culture."""
    digits = max(2, len(str(parameters.electrodes - 1)))
    names = [f"e{k:0{digits}d}" for k in range(parameters.electrodes)]
    dt, step = parameters.dt, parameters.step
    plain = plain_values(parameters, named=False)
    return SubstrateInfo(
        id=simulator_id(
            f"culture-{parameters.neurons}-s{parameters.seed}",
            {
                name: value
                for name, value in plain.items()
                if name not in _NOT_IN_ID and not (name == _SINCE_THEN and value is False)
            },
        ),
        identity="parameters",
        kind="neural-culture",
        inputs=tuple(Channel(name=name, unit="A", low=0.0, high=parameters.current_limit) for name in names),
        outputs=tuple(Channel(name=name, unit="1", low=0.0, high=1.0) for name in names),
        step=step,
        sampling_rate=None,
        spiking=True,
        resettable=True,
        rest=(0.0,) * len(names),
        limits=Limits(steps=100_000, shortest_step=min(dt, step), longest_step=max(60.0, step)),
        parameters=plain,
        layout=Layout(
            unit="um",
            points=tuple((x, y) for x, y in tissue.neurons.tolist()),
            electrodes={name: (x, y) for name, (x, y) in zip(names, tissue.electrodes.tolist(), strict=True)},
        ),
    )
