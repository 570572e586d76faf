"""Groups of parameters are objects, names, plain values or words of a URI, and all of these mean the same."""

from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest

from inmateria.adapters import connect, simulator_from_uri
from inmateria.adapters.uri import parameters_for
from inmateria.simulators import (
    Binary,
    Bursting,
    Connectivity,
    ElectrodeArray,
    Filament,
    Grid,
    LinearDrift,
    NanowireNetwork,
    NeuralCulture,
    RandomWires,
    RateBalance,
    Variability,
)
from inmateria.substrate import UnknownSubstrate


def words(parameters: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Write plain parameters as the query of a URI."""
    query: dict[str, Any] = {}
    for name, value in parameters.items():
        if isinstance(value, dict):
            query |= words(value, f"{prefix}{name}.")
        elif name == "type":
            query[prefix.rstrip(".")] = value
        elif value is not None:
            query[prefix + name] = str(value).lower() if isinstance(value, bool) else value
    return query


SIMULATORS = {
    "nanowire: filament": lambda: NanowireNetwork(wires=60, model=Filament(gap_power=2.0, overshoot=True), load=1e5),
    "nanowire: binary": lambda: NanowireNetwork(model=Binary(set_voltage=0.02), geometry=RandomWires(density=0.1)),
    "nanowire: rate balance": lambda: NanowireNetwork(wires=49, model=RateBalance(), geometry=Grid(side=30.0)),
    "nanowire: linear drift": lambda: NanowireNetwork(
        model=LinearDrift(window=2), variability=Variability(noise=0.1, aging=0.02)
    ),
    "culture": lambda: NeuralCulture(
        neurons=30,
        electrodes=4,
        regime=Bursting(drive=0.1 + 0.2),
        connectivity=Connectivity(synapses=5),
        array=ElectrodeArray(pitch=100),
        plasticity="stdp",
    ),
}


@pytest.mark.parametrize("name", SIMULATORS)
def test_info_constructor_and_uri_go_round(name: str) -> None:
    simulator = SIMULATORS[name]()
    parameters = simulator.info.parameters
    assert type(simulator)(**parameters).info == simulator.info
    scheme = name.partition(":")[0]
    assert connect(f"{scheme}://?{urlencode(words(parameters))}").info == simulator.info


def test_an_object_a_name_plain_values_and_a_uri_mean_the_same() -> None:
    plain = {"type": "binary", "set_voltage": 0.02}
    expected = NanowireNetwork(model=Binary(set_voltage=0.02)).info
    assert NanowireNetwork(model=plain).info == expected
    assert simulator_from_uri("nanowire://?model=binary&model.set_voltage=0.02").info == expected
    assert NanowireNetwork(model="binary").info == NanowireNetwork(model=Binary()).info
    assert (
        NeuralCulture(neurons=20, electrodes=4, array={"pitch": np.float32(50)}).info.parameters["array"]
        == (NeuralCulture(neurons=20, electrodes=4, array=ElectrodeArray(pitch=50.0)).info.parameters["array"])
    )


def test_fields_without_a_choice_are_those_of_the_default() -> None:
    info = simulator_from_uri("nanowire://?model.set_voltage=0.02&geometry.length=12").info
    assert info == NanowireNetwork(model=Filament(set_voltage=0.02), geometry=RandomWires(length=12.0)).info


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("set_voltage=0.02", r"was given set_voltage; it takes wires, .*did you mean model\.set_voltage\?"),
        ("noise=0.1", r"did you mean variability\.noise\?"),
        ("density=0.1", r"did you mean geometry\.density\?"),
        ("model.set_votage=0.02", r"it takes model\.set_voltage, .*did you mean model\.set_voltage\?"),
        ("model=binary&model.gap=3", r"was given model\.gap; it takes model\.set_voltage, .*, model\.overshoot$"),
        ("model=binry", r"model is one of filament, binary, rate-balance, linear-drift; did you mean binary\?"),
        ("variability=0.2", r"variability is a group of parameters; give variability\.noise, "),
        ("model.=3", r"was given model\.; "),
        (".model=3", r"was given \.model; "),
        ("wires.count=3", r"was given wires\.count; it takes wires, "),
        ("model.gap.width=3", r"was given model\.gap\.width; it takes model\.set_voltage, "),
        ("model.type=binary", r"was given model\.type; "),
        ("model.set_voltage=high", r"model\.set_voltage='high'; model\.set_voltage is a number"),
        ("model.set_voltage=nan", r"model\.set_voltage is a number"),
        ("model.set_voltage=inf", r"was given model\.set_voltage=inf; set_voltage is inf; it must be finite"),
        ("model.overshoot=perhaps", r"model\.overshoot is true or false"),
        ("model.set_voltage=0.001", r"was given model\.set_voltage=0\.001; reset_voltage is 0\.005; allowed is 0 to"),
    ],
)
def test_a_wrong_nested_name_or_value_says_what_is_allowed(query: str, says: str) -> None:
    with pytest.raises(UnknownSubstrate, match=says):
        simulator_from_uri(f"nanowire://?{query}")


def test_a_name_that_several_groups_have_is_said_to_be_ambiguous() -> None:
    with pytest.raises(UnknownSubstrate, match=r"did you mean regime\.noise or array\.noise\?"):
        simulator_from_uri("culture://?noise=3")


def test_fields_of_a_group_without_a_default_need_a_choice_where_there_are_several() -> None:
    class Device:
        def __init__(self, one: Grid | None = None, several: Grid | RandomWires | None = None) -> None: ...

    assert parameters_for(Device, {"one.side": "3"}, "x") == {"one": Grid(side=3.0)}
    assert parameters_for(Device, {"several": "grid"}, "x") == {"several": Grid()}
    with pytest.raises(UnknownSubstrate, match=r"several\.side without several; several is one of grid, random-wires"):
        parameters_for(Device, {"several.side": "3"}, "x")


def test_what_has_no_words_cannot_be_written_in_a_uri() -> None:
    class Device:
        def __init__(self, platform: np.random.Generator | None = None) -> None: ...

    with pytest.raises(UnknownSubstrate, match="platform cannot be written in a URI"):
        parameters_for(Device, {"platform": "x"}, "x")
