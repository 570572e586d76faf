"""Who is let in, and what they may touch: a real Mosquitto with the configuration of examples/mosquitto."""

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import trustme
from brokers import Mosquitto, free_port
from leaky import LeakySimulator
from pwdlib.hashers.argon2 import Argon2Hasher

from inmateria.adapters import (
    DeviceServer,
    EmbeddedBroker,
    RemoteSubstrate,
    SimulatedSubstrate,
    emergency_stop,
    release,
)
from inmateria.adapters.mqtt.wire.address import Broker
from inmateria.adapters.mqtt.wire.frames import Header, Kind, encode
from inmateria.adapters.mqtt.wire.link import open_link
from inmateria.substrate import Stimulus, SubstrateDisconnected, SubstrateTimeout, UnknownSubstrate

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
         "does not let us in .*we said we are mallory"),
        (f"mqtts://127.0.0.1:{port}/lab/leaky?ca={ca}", "does not let us in .*we said we are nobody"),
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
        with pytest.raises(SubstrateDisconnected, match=r"does not let us in|no broker"):
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
