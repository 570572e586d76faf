"""A URI finds its substrate, or an error says what is allowed."""

import socket

import pytest

from inmateria import connect
from inmateria.adapters import RemoteSubstrate, SimulatedSubstrate, adapters_found, simulator_from_uri
from inmateria.adapters.mqtt.wire.address import Address, Broker, is_loopback
from inmateria.adapters.uri import shown
from inmateria.devices.passports import PassportError, Passports
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


@pytest.mark.parametrize(
    "scheme", ["ssl", "tls", "tcp", "mqttss", "mqtt5", "http", "https", "wsss", "unix", "MQTT+TLS", ""]
)
def test_an_unknown_scheme_is_refused_before_anything_is_resolved(
    scheme: str, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    def resolved(*_: object, **__: object) -> None:
        raise AssertionError("a name was looked up")

    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    monkeypatch.setattr(socket, "create_connection", resolved)
    monkeypatch.setenv("INMATERIA_MQTT_USERNAME", "ada")
    monkeypatch.setenv("INMATERIA_MQTT_PASSWORD", "lovelace")
    with pytest.raises(UnknownSubstrate, match=r"does not name a broker; mqtt://host:port, mqtts://.*wss://"):
        Broker.from_uri(f"{scheme}://broker.example:8883/lab/x")


@pytest.mark.parametrize(
    ("uri", "tls", "transport", "port"),
    [
        ("mqtt://h", False, "tcp", 1883),
        ("mqtts://h", True, "tcp", 8883),
        ("ws://h", False, "websockets", 80),
        ("wss://h", True, "websockets", 443),
        ("WSS://h:9001/lab/x", True, "websockets", 9001),
    ],
)
def test_a_scheme_says_whether_it_is_encrypted_and_over_what(uri: str, tls: bool, transport: str, port: int) -> None:
    broker = Broker.from_uri(uri)
    assert (broker.tls, broker.transport, broker.port, broker.host) == (tls, transport, port, "h")
    assert Broker.from_uri(str(broker)) == broker
    assert isinstance(connect(f"{uri.partition('://')[0]}://h/lab/x"), RemoteSubstrate)


def test_an_ipv6_address_is_read_and_written_in_brackets() -> None:
    broker = Broker.from_uri("mqtt://[::1]:1884/lab/x")
    assert (broker.host, broker.port, str(broker)) == ("::1", 1884, "mqtt://[::1]:1884")
    assert Broker.from_uri(f"{broker}/lab/x") == broker


@pytest.mark.parametrize(
    "uri", ["mqtt://[::1", "mqtt://host:99999", "mqtt://host:port", "mqtt://:1883", "mqtt:///lab/x"]
)
def test_a_broker_that_cannot_be_read_off_a_uri_is_a_clear_error(uri: str) -> None:
    with pytest.raises(UnknownSubstrate, match="mqtt://host:port"):
        Broker.from_uri(uri)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("localhost", True), ("LocalHost.", True),
        ("::ffff:127.0.0.1", True), ("127.evil.example", False), ("127.0.0.1.evil.example", False), ("::", False),
        ("0.0.0.0", False), ("10.0.0.1", False), ("fe80::1%eth0", False), ("localhost.evil.example", False),
        ("", False),
    ],
)  # fmt: skip
def test_only_an_address_of_this_machine_counts_as_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


@pytest.mark.parametrize("name", ["a b", "a/b", "a#", "+", "a?b", "%20", "", "é", "a\n", ".", "..", "x" * 129])
def test_a_name_that_a_uri_cannot_carry_is_refused(name: str) -> None:
    with pytest.raises(UnknownSubstrate, match=r"the name of the device is .*letters"):
        Address.named("lab", name)
    with pytest.raises(UnknownSubstrate, match=r"the group of the device is .*letters"):
        Address.named(name, "x")
    assert Address.from_uri("mqtt://h/lab/nwn-1_a.b") == Address("lab", "nwn-1_a.b")


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql://ada:hush@host/lab", "postgres//ada:hush@host/lab", "ada:hush@host", "mqtt://ada:hush@host/a/b",
        "postgresql://ada:p@hush@host/lab", "postgresql://host/lab?user=ada&password=hush", "x://h?a=1&Token=hush#f",
        "nowhere://?api_key=hush", "postgresql://ada:a/hush?@host/lab",
    ],
)  # fmt: skip
def test_what_is_shown_of_a_uri_holds_no_secret(uri: str) -> None:
    assert "hush" not in shown(uri)
    assert "***" in shown(uri)
    with pytest.raises(UnknownSubstrate) as error:
        connect(uri)
    assert "hush" not in str(error.value)


@pytest.mark.parametrize("url", ["postgres//ada:hush@host/lab", "nothing://ada:hush@host/lab?password=hush",
                                 "postgresql+pg8000://host/lab?password=hush"])  # fmt: skip
def test_a_database_that_cannot_be_opened_is_named_without_its_password(url: str) -> None:
    with pytest.raises(PassportError) as error:
        Passports(url)
    assert "hush" not in str(error.value)


def test_what_is_shown_of_a_uri_without_a_secret_is_that_uri() -> None:
    for uri in (
        "mqtts://host:1/lab/x?ca=/a/b.pem&key=own.key",
        "nanowire://?wires=100&seed=42",
        "sqlite:///runs/p.sqlite",
    ):
        assert shown(uri) == uri
