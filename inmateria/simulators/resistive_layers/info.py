"""The description of a network in layers as a substrate: channels with their ranges, limits and parameters."""

from typing import Any

from inmateria.substrate import Channel, Limits, SubstrateInfo


def describe(identity: str, sizes: tuple[int, ...], parameters: dict[str, Any]) -> SubstrateInfo:
    """Describe a network.

    Parameters
    ----------
    identity : str
        Its id.
    sizes : tuple of int
        Inputs, hidden layers and outputs.
    parameters : dict
        Plain values from which the network can be made again.
    """
    low, high, limit = parameters["low"], parameters["high"], parameters["label_limit"]

    def names(letter: str, count: int) -> list[str]:
        digits = max(2, len(str(count - 1)))
        return [f"{letter}{k:0{digits}d}" for k in range(count)]

    inputs = [Channel(name=name, unit="V", low=low, high=high) for name in names("u", sizes[0])]
    inputs += [Channel(name=name, unit="V", low=-limit, high=limit) for name in names("l", sizes[-1])]
    inputs.append(Channel(name="learn", unit="1", low=0.0, high=1.0))
    # Without sources of current, no node lies beyond the amplified inputs.
    most = parameters["gain"] * max(abs(low), abs(high)) * (1 + 1e-6)
    nodes = names("o", sizes[-1]) + names("h", sum(sizes[1:-1]) or 1)[: sum(sizes[1:-1])]
    interval, step = parameters["update_interval"], parameters["step"]
    return SubstrateInfo(
        id=identity,
        identity="parameters",
        kind="resistive-layers",
        inputs=tuple(inputs),
        outputs=tuple(Channel(name=name, unit="V", low=-most, high=most) for name in nodes),
        step=step,
        sampling_rate=1 / interval,
        resettable=True,
        limits=Limits(shortest_step=min(1e-6, step), longest_step=max(3600.0, step)),
        parameters=parameters,
    )
