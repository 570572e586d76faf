"""Who is let in, and what they may touch: a real Mosquitto with the configuration of examples/mosquitto."""

import asyncio
import contextlib
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
import trustme
from brokers import Mosquitto, free_port
from leaky import LeakySimulator
from pwdlib.hashers.argon2 import Argon2Hasher
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from inmateria.adapters import (
    DeviceServer,
    EmbeddedBroker,
    RemoteSubstrate,
    SimulatedSubstrate,
    emergency_stop,
    release,
)
from inmateria.adapters.mqtt.operator.recording import record_device
from inmateria.adapters.mqtt.wire.address import Broker
from inmateria.adapters.mqtt.wire.frames import Header, Kind, encode
from inmateria.adapters.mqtt.wire.link import open_link
from inmateria.substrate import (
    Stimulus,
    SubstrateBusy,
    SubstrateDisconnected,
    SubstrateError,
    SubstrateTimeout,
    UnknownSubstrate,
)

EXAMPLE = Path(__file__).parents[2] / "examples" / "mosquitto"
ONE = Stimulus(np.ones((1, 3)), 0.01)
TOPIC = "inmateria/1/lab/leaky"
USERS = ("leaky", "ada", "eve", "operator")


class Laboratory:
    """A broker as in examples/mosquitto, its users' passwords and certificates."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        ca, other = trustme.CA(), trustme.CA()
        ca.cert_pem.write_to_path(folder / "ca.pem")
        other.cert_pem.write_to_path(folder / "other.pem")
        server = ca.issue_cert("localhost", "127.0.0.1")
        server.private_key_pem.write_to_path(folder / "server.key")
        server.cert_chain_pems[0].write_to_path(folder / "server.pem")
        for user in USERS:
            own = ca.issue_cert(f"{user}.lab", common_name=user)
            own.private_key_pem.write_to_path(folder / f"{user}.key")
            own.cert_chain_pems[0].write_to_path(folder / f"{user}.pem")
            (folder / f"{user}.credentials").write_text(f"{user}:secret of {user}\n", "utf-8")
        passwords = folder / "passwords"
        passwords.write_text("".join(f"{user}:secret of {user}\n" for user in USERS), "utf-8")
        subprocess.run(["mosquitto_passwd", "-U", str(passwords)], check=True)
        self.certificates = free_port()
        config = (EXAMPLE / "mosquitto.conf").read_text("utf-8")
        config = config.replace("listener 8883", "listener {port} 127.0.0.1")
        config = config.replace("listener 8884", f"listener {self.certificates} 127.0.0.1")
        for name in ("ca.pem", "server.pem", "server.key", "passwords"):
            config = config.replace(f" {name}", f" {folder / name}")
        config = config.replace(" access.acl", f" {EXAMPLE / 'access.acl'}")
        self.broker = Mosquitto(folder, config)

    def uri(self, user: str, *, version: str = "3.1.1", address: str = "") -> str:
        """Name the broker as that user does who has a password."""
        return (
            f"mqtts://127.0.0.1:{self.broker.port}{address}?ca={self.folder / 'ca.pem'}"
            f"&credentials={self.folder / f'{user}.credentials'}&mqtt={version}"
        )

    def certified(self, user: str, address: str = "") -> str:
        """Name the broker as that user does who has a certificate."""
        return (
            f"mqtts://127.0.0.1:{self.certificates}{address}?ca={self.folder / 'ca.pem'}"
            f"&certificate={self.folder / f'{user}.pem'}&key={self.folder / f'{user}.key'}"
        )


@pytest.fixture
def laboratory(tmp_path: Path) -> Iterator[Laboratory]:
    made = Laboratory(tmp_path)
    yield made
    made.broker.kill()


@pytest.mark.parametrize("version", ["3.1.1", "5"])
async def test_with_password_and_encryption_a_device_is_served_and_used(laboratory: Laboratory, version: str) -> None:
    simulator = LeakySimulator()
    async with (
        DeviceServer(SimulatedSubstrate(simulator), laboratory.uri("leaky", version=version)),
        RemoteSubstrate(laboratory.uri("ada", version=version, address="/lab/leaky")) as substrate,
    ):
        # Larger than what TLS gives out at once, so that nothing of it may be left lying there.
        given = Stimulus(np.random.default_rng(0).uniform(-1, 1, (5000, 3)), 0.01)
        got = await substrate.stimulate(given)
        assert np.array_equal(got.signal, LeakySimulator().advance(given).signal)
        assert len([each async for each in substrate.stream([ONE] * 50)]) == 50


async def test_a_certificate_stands_for_a_password(laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    async with DeviceServer(SimulatedSubstrate(LeakySimulator()), laboratory.uri("leaky")):
        monkeypatch.setenv("INMATERIA_MQTT_USERNAME", "ada")
        async with RemoteSubstrate(laboratory.certified("ada", "/lab/leaky")) as substrate:
            assert (await substrate.stimulate(ONE)).sequence == 0


async def test_who_is_not_known_is_told_why(laboratory: Laboratory, tmp_path: Path) -> None:
    (tmp_path / "mallory").write_text("mallory:guess", "utf-8")
    port, ca = laboratory.broker.port, tmp_path / "ca.pem"
    for uri, says in (
        (f"mqtts://127.0.0.1:{port}/lab/leaky?ca={ca}&credentials={tmp_path / 'mallory'}",
         "refuses the connection .*the user name was mallory"),
        (f"mqtts://127.0.0.1:{port}/lab/leaky?ca={ca}", "refuses the connection .*the user name was not given"),
        (f"mqtts://127.0.0.1:{port}/lab/leaky?ca={tmp_path / 'other.pem'}", "certificate is signed by .*other.pem"),
        (f"mqtts://127.0.0.1:{laboratory.certificates}/lab/leaky?ca={ca}", "asks for a certificate of ours"),
    ):  # fmt: skip
        with pytest.raises(SubstrateDisconnected, match=says):
            async with RemoteSubstrate(uri, connect_timeout=3):
                pass


async def test_a_user_cannot_touch_the_session_of_another(laboratory: Laboratory) -> None:
    simulator = LeakySimulator()
    async with (
        DeviceServer(SimulatedSubstrate(simulator), laboratory.uri("leaky")),
        RemoteSubstrate(laboratory.uri("ada", address="/lab/leaky")) as substrate,
        open_link(Broker.from_uri(laboratory.uri("eve")), timeout=5) as eve,
    ):
        await substrate.stimulate(ONE)
        session, grant = substrate._session, substrate._grant  # even where she has learned both
        await eve.subscribe(f"{TOPIC}/response/ada/{session}", f"{TOPIC}/stimulus/ada/{session}", f"{TOPIC}/status")
        forged = Header(kind=Kind.STIMULUS, session=session, grant=grant, sequence=1, step=0.01)
        await eve.publish(f"{TOPIC}/stimulus/ada/{session}", encode(forged, ONE.drive))
        await eve.publish(f"{TOPIC}/stimulus/eve/{session}", encode(forged, ONE.drive))
        await eve.publish(f"{TOPIC}/release", b"")
        await eve.publish(f"{TOPIC}/status", b'{"state":"offline","epoch":""}')
        assert (await substrate.stimulate(ONE)).sequence == 1
        assert len(simulator.applied) == 2
        await emergency_stop(laboratory.uri("eve", address="/lab/leaky"))  # anybody known may
        async for topic, *_ in eve.messages():
            assert topic == f"{TOPIC}/status"
            break
        with pytest.raises(SubstrateTimeout, match="to be online"):
            await release(laboratory.uri("eve", address="/lab/leaky"), timeout=0.5)
        await release(laboratory.uri("operator", address="/lab/leaky"))


async def test_a_device_that_is_denied_its_topics_says_which(laboratory: Laboratory) -> None:
    server = DeviceServer(SimulatedSubstrate(LeakySimulator()), laboratory.uri("ada"), timeout=0.5)
    with pytest.raises(SubstrateDisconnected, match=r"denies ada topics of lab/leaky: .*release.*response"):
        async with server:
            pass


async def test_a_controller_that_is_denied_its_topics_says_which(
    laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with DeviceServer(SimulatedSubstrate(LeakySimulator()), laboratory.uri("leaky")):
        # Its certificate says ada, so the broker grants it nothing of eve's.
        monkeypatch.setenv("INMATERIA_MQTT_USERNAME", "eve")
        with pytest.raises(SubstrateDisconnected, match=r"denies eve the topic .*/stimulus/eve/"):
            async with RemoteSubstrate(laboratory.certified("ada", "/lab/leaky"), connect_timeout=1):
                pass


async def test_the_embedded_broker_lets_others_in_with_a_password_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match=r"listen on 0\.0\.0\.0, where others can reach it.*passwords"):
        EmbeddedBroker(host="0.0.0.0")
    passwords = tmp_path / "passwords"
    passwords.write_text(f"ada:{Argon2Hasher(time_cost=1, memory_cost=1024).hash('lovelace')}\n", "utf-8")
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    own = ca.issue_cert("127.0.0.1")
    own.private_key_and_cert_chain_pem.write_to_path(tmp_path / "own.pem")
    monkeypatch.setenv("INMATERIA_MQTT_CA", str(tmp_path / "ca.pem"))
    async with EmbeddedBroker(host="0.0.0.0", passwords=passwords, certificate=tmp_path / "own.pem") as broker:
        assert broker.uri.startswith("mqtts://")
        with pytest.raises(SubstrateDisconnected, match=r"refuses the connection|no broker"):
            async with RemoteSubstrate(f"{broker.uri}/lab/leaky", connect_timeout=2):
                pass
        monkeypatch.setenv("INMATERIA_MQTT_USERNAME", "ada")
        monkeypatch.setenv("INMATERIA_MQTT_PASSWORD", "lovelace")
        async with (
            DeviceServer(SimulatedSubstrate(LeakySimulator()), broker.uri) as server,
            RemoteSubstrate(server.uri) as substrate,
        ):
            assert (await substrate.stimulate(ONE)).sequence == 0


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("mqtts://host/a/b?ca=/nowhere.pem", "cannot be read"),
        ("mqtt://host/a/b?ca=ca.pem", "not encrypted"),
        ("mqtts://host/a/b?key=own.key", "a key comes with its certificate"),
        ("mqtt://host/a/b?mqtt=4", "known are 3.1.1 and 5"),
        ("mqtt://host/a/b?credentials=/nowhere", "cannot be read"),
        ("mqtt://ada@host/a/b", "carries a user name or a password"),
    ],
)
async def test_what_is_wrong_with_a_uri_is_said(uri: str, says: str) -> None:
    with pytest.raises(UnknownSubstrate, match=says):
        async with RemoteSubstrate(uri):
            pass


def test_credentials_come_from_a_file_and_stay_out_of_every_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own").write_text("ada:love:lace\n", "utf-8")
    monkeypatch.setenv("INMATERIA_MQTT_CREDENTIALS", str(tmp_path / "own"))
    broker = Broker.from_uri("mqtts://host")
    assert (broker.username, broker.password) == ("ada", "love:lace")
    assert "love" not in f"{broker} {broker!r}"
    (tmp_path / "own").write_text("nothing here", "utf-8")
    with pytest.raises(UnknownSubstrate, match="holds no credentials"):
        Broker.from_uri("mqtts://host")
    (tmp_path / "own").write_text("a/b:c", "utf-8")
    with pytest.raises(UnknownSubstrate, match="a part of topics"):
        Broker.from_uri("mqtts://host")


async def test_mqtt_5_to_a_broker_that_does_not_speak_it_is_said() -> None:
    async with EmbeddedBroker() as broker:
        with pytest.raises(SubstrateDisconnected, match=r"the embedded one speaks MQTT 3\.1\.1"):
            async with asyncio.timeout(20), RemoteSubstrate(f"{broker.uri}/lab/x?mqtt=5", connect_timeout=1):
                pass


@contextlib.asynccontextmanager
async def over_websocket(broker_port: int, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Speak WebSocket in front of a broker that does not, by another library than ours; gives the port."""

    async def pass_on(connection: ServerConnection) -> None:
        assert connection.subprotocol == "mqtt"
        assert connection.request is not None
        assert connection.request.path == "/mqtt"
        reader, writer = await asyncio.open_connection("127.0.0.1", broker_port)

        async def back() -> None:
            while data := await reader.read(1 << 16):
                await connection.send(data)
            await connection.close()

        answering = asyncio.create_task(back())
        try:
            with contextlib.suppress(ConnectionClosed):
                async for data in connection:
                    assert isinstance(data, bytes)
                    writer.write(data)
                    await writer.drain()
        finally:
            answering.cancel()
            await asyncio.wait({answering})
            writer.transport.abort()

    async with serve(pass_on, "127.0.0.1", 0, subprotocols=[Subprotocol("mqtt")], ssl=tls, max_size=None) as server:
        yield next(iter(server.sockets)).getsockname()[1]


@pytest.mark.parametrize("version", ["3.1.1", "5"])
async def test_a_device_is_served_and_used_over_websocket(version: str, mosquitto: Mosquitto) -> None:
    async with over_websocket(mosquitto.port) as port:
        uri = f"ws://127.0.0.1:{port}"
        async with (
            DeviceServer(SimulatedSubstrate(LeakySimulator()), f"{uri}?mqtt={version}") as server,
            RemoteSubstrate(f"{server.uri}?mqtt={version}") as substrate,
        ):
            assert server.uri == f"{uri}/lab/leaky"
            given = Stimulus(np.random.default_rng(0).uniform(-1, 1, (9000, 3)), 0.01)  # three parts
            assert np.array_equal((await substrate.stimulate(given)).signal, LeakySimulator().advance(given).signal)
            assert len([each async for each in substrate.stream([ONE] * 50)]) == 50
            await emergency_stop(server.uri)
            with pytest.raises(SubstrateDisconnected):
                await substrate.stimulate(ONE)


async def test_websocket_over_tls_checks_the_broker_s_certificate(mosquitto: Mosquitto, tmp_path: Path) -> None:
    ca, other = trustme.CA(), trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    other.cert_pem.write_to_path(tmp_path / "other.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    async with over_websocket(mosquitto.port, context) as port:
        uri = f"wss://127.0.0.1:{port}"
        async with (
            DeviceServer(SimulatedSubstrate(LeakySimulator()), f"{uri}?ca={tmp_path / 'ca.pem'}"),
            RemoteSubstrate(f"{uri}/lab/leaky?ca={tmp_path / 'ca.pem'}") as substrate,
        ):
            # Larger than what TLS gives out at once, so that nothing of it may be left lying there.
            given = Stimulus(np.random.default_rng(0).uniform(-1, 1, (5000, 3)), 0.01)
            assert np.array_equal((await substrate.stimulate(given)).signal, LeakySimulator().advance(given).signal)
        with pytest.raises(SubstrateDisconnected, match=r"certificate is signed by .*other.pem"):
            async with RemoteSubstrate(f"{uri}/lab/leaky?ca={tmp_path / 'other.pem'}"):
                pass


async def test_a_server_that_speaks_no_websocket_is_a_clear_error(mosquitto: Mosquitto) -> None:
    with pytest.raises(SubstrateDisconnected, match="no broker at ws://"):
        async with RemoteSubstrate(f"ws://127.0.0.1:{mosquitto.port}/lab/leaky", connect_timeout=1):
            pass


async def test_a_server_that_answers_a_byte_at_a_time_is_not_waited_for_longer_than_the_timeout() -> None:
    ends: list[asyncio.Event] = []

    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends.append(end := asyncio.Event())
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.1)
        writer.close()
        end.set()

    async with await asyncio.start_server(trickle, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        for scheme in ("ws", "wss", "mqtts", "mqtt"):
            with pytest.raises(SubstrateDisconnected):
                async with (
                    asyncio.timeout(60),
                    RemoteSubstrate(f"{scheme}://127.0.0.1:{port}/a/b", connect_timeout=0.5),
                ):
                    pass
    for end in ends:  # a server of Python 3.11 does not wait for what answers
        await end.wait()


GOOD = msgspec.to_builtins(LeakySimulator().info)
UNREADABLE = {
    "unit": {**GOOD, "outputs": [{**GOOD["outputs"][0], "unit": "spike rate"}]},
    "id": {**GOOD, "id": "a b"},
    "limits": {**GOOD, "inputs": [{**GOOD["inputs"][0], "low": 1, "high": 1}]},
    "key": {key: value for key, value in GOOD.items() if key != "outputs"},
}


@pytest.mark.parametrize("what", [*UNREADABLE, "garbage", "empty"])
async def test_connecting_to_a_device_whose_info_cannot_be_read_ends_in_time_and_says_why(
    what: str, mosquitto: Mosquitto
) -> None:
    info = {"garbage": b"\xff\x00", "empty": b" "}.get(what) or msgspec.json.encode(UNREADABLE[what])
    address = "inmateria/1/lab/leaky"
    async with (
        DeviceServer(SimulatedSubstrate(LeakySimulator()), mosquitto.uri) as server,
        open_link(Broker.from_uri(mosquitto.uri), timeout=5) as other,
    ):
        await other.publish(f"{address}/info", info, retain=True)
        with pytest.raises(SubstrateTimeout, match=r"waited 0.7 s for lab/leaky .*its info cannot be read \(.+\)"):
            async with asyncio.timeout(60), RemoteSubstrate(server.uri, connect_timeout=0.7):
                pass
        assert server._commands.holder == ""  # it took no lease that it could not use
        stop = asyncio.Event()
        with pytest.raises(SubstrateTimeout, match="its info cannot be read"):
            await record_device(server.uri, Path("never.h5"), stop=stop, timeout=0.7)
        # One that is corrected in time is used.
        entering = asyncio.create_task(used_once(server.uri))
        await other.publish(f"{address}/info", msgspec.json.encode(GOOD), retain=True)
        assert await entering == 0


async def used_once(uri: str) -> int:
    async with RemoteSubstrate(uri, connect_timeout=20) as substrate:
        return (await substrate.stimulate(ONE)).sequence


async def test_connecting_where_the_broker_denies_info_ends_in_time_and_says_so(tmp_path: Path) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic readwrite inmateria/1/+/+/#\ntopic deny inmateria/1/lab/leaky/info\n", "utf-8")
    broker = Mosquitto(tmp_path, f"listener {{port}} 127.0.0.1\nallow_anonymous true\nacl_file {acl}\n")
    try:
        async with DeviceServer(SimulatedSubstrate(LeakySimulator()), broker.uri) as server:
            for uri, says in (
                (server.uri, r"status was received and its info was not.*read inmateria/1/lab/leaky/info"),
                (f"{broker.uri}/lab/nothing", "no device of that name"),
            ):
                with pytest.raises(SubstrateTimeout, match=says):
                    async with asyncio.timeout(60), RemoteSubstrate(uri, connect_timeout=0.7):
                        pass
            assert server._commands.holder == ""
    finally:
        broker.kill()


@pytest.mark.parametrize("unit", ["%", "spikes/s", "1/s", "uA/cm2", "Ohm", "Cel"])
async def test_a_device_in_units_as_laboratories_write_them_is_used(unit: str, mosquitto: Mosquitto) -> None:
    simulator = LeakySimulator()
    outputs = tuple(msgspec.structs.replace(each, unit=unit) for each in simulator.info.outputs)
    simulator.info = msgspec.structs.replace(simulator.info, outputs=outputs)
    async with (
        DeviceServer(SimulatedSubstrate(simulator), mosquitto.uri) as server,
        RemoteSubstrate(server.uri) as substrate,
    ):
        assert {each.unit for each in substrate.info.outputs} == {unit}
        assert (await substrate.stimulate(ONE)).sequence == 0


async def test_a_name_that_is_online_is_refused_and_the_one_that_has_it_goes_on(mosquitto: Mosquitto) -> None:
    first, second = LeakySimulator(), LeakySimulator(inputs=1)
    async with (
        DeviceServer(SimulatedSubstrate(first), mosquitto.uri) as server,
        RemoteSubstrate(server.uri) as substrate,
    ):
        with pytest.raises(SubstrateBusy, match=r"lab/leaky on .* is served already; that device is online"):
            async with DeviceServer(SimulatedSubstrate(second), mosquitto.uri):
                pass
        assert len(substrate.info.inputs) == 3
        assert (await substrate.stimulate(ONE)).sequence == 0
        async with DeviceServer(SimulatedSubstrate(second), mosquitto.uri, name="other"):
            pass
        await emergency_stop(server.uri)  # stopped, it has its name all the same
        with pytest.raises(SubstrateBusy, match="that device is stopped"):
            async with DeviceServer(SimulatedSubstrate(second), mosquitto.uri):
                pass
    async with DeviceServer(SimulatedSubstrate(second), mosquitto.uri):
        pass


@pytest.mark.parametrize(
    "left", [b'{"state":"online","epoch":"dead"}', b"\xffgarbage", b'{"state":"offline","epoch":"x"}']
)
async def test_a_status_that_a_dead_device_left_does_not_lock_out_its_successor(
    left: bytes, mosquitto: Mosquitto
) -> None:
    async with open_link(Broker.from_uri(mosquitto.uri), timeout=5) as other:
        await other.publish("inmateria/1/lab/leaky/status", left, retain=True)
    async with (
        DeviceServer(SimulatedSubstrate(LeakySimulator()), mosquitto.uri) as server,
        RemoteSubstrate(server.uri) as substrate,
    ):
        assert (await substrate.stimulate(ONE)).sequence == 0


@pytest.mark.parametrize("names", [{"name": "a b"}, {"name": "a/b"}, {"name": "x#"}, {"group": "ä"}, {"name": ""}])
def test_a_name_that_a_uri_cannot_carry_is_refused_at_once(names: dict[str, str]) -> None:
    with pytest.raises(UnknownSubstrate, match="letters"):
        DeviceServer(SimulatedSubstrate(LeakySimulator()), "mqtt://nowhere.invalid", **names)  # type: ignore[arg-type]


def test_an_event_loop_that_cannot_watch_sockets_is_named() -> None:
    class ProactorEventLoop(asyncio.SelectorEventLoop):
        """Cannot watch sockets for others, as Windows' default loop cannot."""

        add_reader = asyncio.AbstractEventLoop.add_reader

    async def entered() -> None:
        async with RemoteSubstrate("mqtt://127.0.0.1:1/lab/x"):
            pass

    with (
        asyncio.Runner(loop_factory=ProactorEventLoop) as runner,
        pytest.raises(SubstrateError, match=r"on a ProactorEventLoop, which cannot watch sockets.*SelectorEventLoop"),
    ):
        runner.run(entered())
