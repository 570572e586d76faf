"""A URI finds its substrate, or an error says what is allowed."""

import pytest

from inmateria import connect
from inmateria.adapters import RemoteSubstrate, SimulatedSubstrate, adapters_found, simulator_from_uri
from inmateria.substrate import UnknownSubstrate


def test_a_simulator_takes_its_parameters_from_the_query() -> None:
    substrate = connect("nanowire://?wires=60&seed=7&model=binary&model.set_voltage=0.02")
    assert isinstance(substrate, SimulatedSubstrate)
    parameters = substrate.info.parameters
    assert (parameters["wires"], parameters["seed"]) == (60, 7)
    assert (parameters["model"]["type"], parameters["model"]["set_voltage"]) == ("binary", 0.02)


def test_a_remote_device_is_not_looked_for_before_it_is_entered() -> None:
    assert isinstance(connect("mqtt://nowhere.invalid/lab/x"), RemoteSubstrate)


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("nanowire", "not a URI"),
        ("", "not a URI"),
        ("://", "not a URI"),
        ("nanowires://", "did you mean nanowire://"),
        ("quantum://", "known are .*mqtt, .*nanowire"),
        ("nanowire://?wire=5", "did you mean wires"),
        ("nanowire://?wires=many", "wires is a whole number"),
        ("nanowire://?wires=2.5", "wires is a whole number"),
        ("nanowire://?wires=3", "electrodes need at least as many wires"),
        ("nanowire://?wires=60&wires=70", "more than once"),
        ("nanowire://host/?wires=60", "names a host"),
    ],
)
def test_what_is_wrong_with_a_uri_is_said(uri: str, says: str) -> None:
    with pytest.raises(UnknownSubstrate, match=says):
        connect(uri)


def test_only_simulators_can_be_made_from_a_uri() -> None:
    with pytest.raises(UnknownSubstrate, match=r"known are .*nanowire"):
        simulator_from_uri("mqtt://host/a/b")


def test_the_adapters_are_listed() -> None:
    assert {"nanowire", "mqtt"} <= {scheme for scheme, _ in adapters_found()}
