"""A device at a socket of its own, without a broker, under fire: everything that is promised over a broker holds."""

import asyncio
import os
import re
import signal
import socket
import stat
import struct
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from cancelling import cancelled
from fault_proxy import SocketFaultProxy
from hypothesis import given as given_by
from hypothesis import settings
from hypothesis import strategies as st
from leaky import LeakySimulator
from under_fire import a_controller_is_killed_and_another_takes_over, exact, numbered, process, uri_of

from inmateria import connect
from inmateria.adapters import (
    DeviceServer,
    RemoteSubstrate,
    SimulatedSubstrate,
    emergency_stop,
    find_devices,
    observe,
    release,
)
from inmateria.adapters.boards.substrate import BoardSubstrate
from inmateria.adapters.mqtt.device.socket_hub import SocketHub
from inmateria.adapters.mqtt.wire.address import Address
from inmateria.adapters.mqtt.wire.device_socket import DeviceSocket, names_a_socket
from inmateria.adapters.mqtt.wire.frames import Header, Kind, encode
from inmateria.adapters.mqtt.wire.link_protocol import BrokerGone, BrokerRefused
from inmateria.adapters.mqtt.wire.opening import open_link
from inmateria.adapters.mqtt.wire.stream_messages import MessageReader, StreamKind, packed
from inmateria.substrate import (
    Response,
    Stimulus,
    StimulusRejected,
    SubstrateBusy,
    SubstrateDisconnected,
    SubstrateError,
    UnknownSubstrate,
)

FAULTS = {
    "late": {"delay": 0.02, "jitter": 0.01},
    "cut in the middle of a frame": {"reset_every": 150},
    "lossy": {"drop": 0.01, "double": 0.01, "overtaken": 0.01},
}
HELLO = packed(StreamKind.HELLO, b"", b'{"version":1,"device":""}')
ONE = Stimulus(np.full((1, 3), 0.25), 0.01)


@pytest.fixture
def at(tmp_path: Path) -> str:
    return f"unix://{tmp_path}/device.sock"


@asynccontextmanager
async def served(where: str, simulator: LeakySimulator, lease: float = 15.0) -> AsyncIterator[DeviceServer]:
    async with DeviceServer(SimulatedSubstrate(simulator), where, lease=lease) as server:
        yield server


def port_of(server: DeviceServer) -> int:
    return DeviceSocket.from_uri(server.uri).port


def exists(at: str) -> bool:
    return Path(at.removeprefix("unix://")).exists()


def text_of(path: str) -> str:
    return Path(path).read_text("utf-8")


def write_in_place_of(path: str, text: str) -> None:
    Path(path).unlink()
    Path(path).write_text(text, "utf-8")


async def raw(server: DeviceServer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port_of(server))


async def closed(reader: asyncio.StreamReader) -> bytes:
    """Read until the device closes the connection."""
    try:
        async with asyncio.timeout(20):
            return await reader.read()
    except ConnectionError:
        return b""


async def refusal(reader: asyncio.StreamReader) -> bytes:
    """Return why the device closed the connection."""
    taken = MessageReader(1 << 20).take(await closed(reader))
    return next((payload for kind, _, payload in taken if kind == StreamKind.REFUSED), b"")


@pytest.mark.parametrize("fault", FAULTS)
async def test_over_a_bad_line_each_stimulus_is_applied_once_and_in_order(fault: str) -> None:
    simulator, given = LeakySimulator(), numbered(600)
    async with (
        served("tcp://127.0.0.1:0", simulator) as server,
        SocketFaultProxy(port_of(server), seed=1, **FAULTS[fault]) as line,
        RemoteSubstrate(line.uri, window=64, connect_timeout=10) as substrate,
    ):
        got = [response async for response in substrate.stream(given)]
        assert exact(simulator, given, got)
        assert fault == "late" or line.faults > 3


async def test_a_device_frozen_for_three_keepalives_is_noticed_and_nothing_is_lost_or_repeated(
    at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inmateria.adapters.mqtt.wire.device_link.KEEPALIVE", 1)
    log, given, losses = tmp_path / "applied", numbered(400), 0
    async with process("served_leaky.py", at, log, 60.0) as device:
        uri = await uri_of(device)
        async with RemoteSubstrate(uri, connect_timeout=2) as substrate:
            got = []
            async with aclosing(substrate.stream(given)) as responses:
                async for response in responses:
                    got.append(response)
                    if len(got) == 200:
                        device.send_signal(signal.SIGSTOP)
                        await asyncio.sleep(3)  # how long it is frozen is the fault itself
                        losses += substrate._link is None  # within two keepalives
                        device.send_signal(signal.SIGCONT)
            assert losses == 1
    assert [int(line) for line in log.read_text("utf-8").split()] == list(range(400))
    alone = LeakySimulator()
    assert all(np.array_equal(mine.signal, alone.advance(each).signal) for mine, each in zip(got, given, strict=True))


async def test_a_controller_is_killed_and_another_takes_over(at: str, tmp_path: Path) -> None:
    await a_controller_is_killed_and_another_takes_over(at, tmp_path / "applied")


async def test_a_device_is_killed_and_what_it_applied_is_what_the_error_says(at: str, tmp_path: Path) -> None:
    log, got = tmp_path / "applied", 0
    async with process("served_leaky.py", at, log, 1.0) as device:
        uri = await uri_of(device)
        async with RemoteSubstrate(uri) as substrate:

            async def stream() -> None:
                nonlocal got
                async with aclosing(substrate.stream(numbered(2000))) as responses:
                    async for _ in responses:
                        got += 1
                        if got == 200:
                            device.kill()

            with pytest.raises(
                SubstrateDisconnected, match=r"the device at unix://\S+ has been gone for \d+ s; everything before"
            ) as caught:
                await stream()
    applied = [int(line) for line in log.read_text("utf-8").split()]
    assert applied == list(range(len(applied)))
    assert f"before number {got} was applied" in str(caught.value)
    assert got <= len(applied) <= got + 8


async def test_a_device_with_a_journal_is_killed_restarted_at_its_old_socket_and_says_what_it_had_applied(
    at: str, tmp_path: Path
) -> None:
    log, again, journal, got = tmp_path / "applied", tmp_path / "applied later", tmp_path / "journal", 0
    async with process("served_leaky.py", at, log, 60.0, journal) as device:
        uri = await uri_of(device)
        substrate = RemoteSubstrate(uri, window=64)
        await substrate.__aenter__()

        async def stream() -> None:
            nonlocal got
            async with aclosing(substrate.stream(numbered(2000))) as responses:
                async for _ in responses:
                    got += 1
                    if got == 200:
                        device.kill()

        streaming = asyncio.create_task(stream())
        await device.wait()
        async with process("served_leaky.py", at, again, 60.0, journal) as successor:
            assert await uri_of(successor) == uri
            with pytest.raises(SubstrateDisconnected, match="restarted; its journal says: everything before") as caught:
                await streaming
            await substrate.__aexit__(None, None, None)
    applied = [int(line) for line in log.read_text("utf-8").split()]
    assert applied == list(range(len(applied)))
    whole, *perhaps = map(int, re.findall(r"number (\d+)", str(caught.value)))
    assert got <= whole <= len(applied) <= max(whole, *perhaps)
    assert not again.read_text("utf-8")


async def test_wherever_an_exchange_is_cancelled_the_next_one_is_in_order(at: str) -> None:
    simulator = LeakySimulator()
    async with served(at, simulator) as server, RemoteSubstrate(server.uri) as substrate:
        count = 0
        while await cancelled(substrate.stimulate(ONE), count):
            count += 1
        assert count >= 1
        response = await substrate.stimulate(ONE)
        assert response.sequence == len(simulator.applied) - 1
        alone = LeakySimulator()
        for _ in simulator.applied:
            expected = alone.advance(ONE)
        assert np.array_equal(response.signal, expected.signal)


async def test_wherever_entering_is_cancelled_nothing_is_left(at: str) -> None:
    simulator, count = LeakySimulator(), 0

    async def enter_and_leave() -> None:
        async with RemoteSubstrate(at) as substrate:
            await substrate.stimulate(ONE)

    async with served(at, simulator, lease=0.5):
        entered = False
        while not entered:
            try:
                entered = not await cancelled(enter_and_leave(), count)
                count += 1
            except SubstrateBusy:  # a session that was cancelled before it could say that it is over
                await asyncio.sleep(0.1)
    assert count > 3


async def test_wherever_serving_is_cancelled_the_socket_is_free_again(at: str) -> None:
    count = 0

    async def serve() -> None:
        async with served(at, LeakySimulator()):
            pass

    while await cancelled(serve(), count):
        count += 1
        assert not exists(at)
    assert count > 2


async def test_a_socket_may_be_opened_by_its_owner_only_and_is_removed_at_the_end(at: str) -> None:
    before = os.umask(0)
    try:
        async with served(at, LeakySimulator()):
            mode = os.stat(at.removeprefix("unix://")).st_mode  # noqa: PTH116
            assert stat.S_ISSOCK(mode)
            assert stat.S_IMODE(mode) == 0o600
    finally:
        os.umask(before)
    assert not exists(at)


async def test_one_device_a_socket_and_an_old_socket_is_replaced(at: str, tmp_path: Path) -> None:
    async with served(at, LeakySimulator()) as server:
        with pytest.raises(SubstrateBusy, match="another device is served at unix://"):
            async with served(at, LeakySimulator()):
                pass
        async with RemoteSubstrate(server.uri) as substrate:  # the first one is as before
            assert (await substrate.stimulate(ONE)).sequence == 0
    path = at.removeprefix("unix://")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    async with served(at, LeakySimulator()):
        pass
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(path)
        other.listen()
        with pytest.raises(SubstrateBusy, match="another program listens"):
            async with served(at, LeakySimulator()):
                pass
    write_in_place_of(path, "mine")
    with pytest.raises(SubstrateError, match="there is a file that is no socket"):
        async with served(at, LeakySimulator()):
            pass
    assert text_of(path) == "mine"
    with pytest.raises(SubstrateError, match="a folder that this user may write to"):
        async with served(f"unix://{tmp_path}/none/d.sock", LeakySimulator()):
            pass


async def test_a_tcp_socket_is_of_this_machine_and_of_one_device() -> None:
    with pytest.raises(ValueError, match="could be reached by other machines, without a password"):
        DeviceServer(SimulatedSubstrate(LeakySimulator()), "tcp://0.0.0.0:0")
    with pytest.raises(ValueError, match="could be reached by other machines"):
        SocketHub(DeviceSocket(host="example.org"), Address.named("lab", "leaky"))
    async with DeviceServer(SimulatedSubstrate(LeakySimulator()), "tcp://0.0.0.0:0", exposed=True) as open_to_all:
        assert open_to_all.uri.startswith("tcp://0.0.0.0:")
    async with served("tcp://127.0.0.1:0", LeakySimulator()) as server:
        with pytest.raises(SubstrateBusy, match="cannot be listened on"):
            async with served(f"tcp://127.0.0.1:{port_of(server)}", LeakySimulator()):
                pass
        other = server.uri.replace("/lab/leaky", "/lab/other")
        with pytest.raises(BrokerRefused, match="lab/leaky is served here, not lab/other"):
            async with RemoteSubstrate(other):
                pass


def test_addresses() -> None:
    assert isinstance(connect("unix:///run/d.sock?window=4"), RemoteSubstrate)
    assert isinstance(connect("tcp://127.0.0.1:7000/lab/nwn-1"), RemoteSubstrate)
    assert names_a_socket("tcp://127.0.0.1:7000/lab/nwn-1?window=3")
    assert not names_a_socket("tcp://127.0.0.1:7000?window=3/4")
    board = connect("tcp://127.0.0.1:7000")
    assert isinstance(board, BoardSubstrate)
    for wrong in ("unix://d.sock", "unix:///", "unix:///tmp/", f"unix:///{'x' * 120}", "unix:///d?ca=x",
                  "tcp://127.0.0.1:7000/lab", "tcp://127.0.0.1/lab/x", "tcp://h:x/lab/x"):  # fmt: skip
        with pytest.raises(UnknownSubstrate):
            connect(wrong)
    with pytest.raises(ValueError, match="names a device; give group and name apart"):
        DeviceServer(SimulatedSubstrate(LeakySimulator()), "tcp://127.0.0.1:0/lab/x")


async def test_what_is_not_there_and_what_is_no_device_are_said(at: str) -> None:
    with pytest.raises(BrokerGone, match=r"no device at unix://.*No such file"):
        async with RemoteSubstrate(at, connect_timeout=1):
            pass

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.org ESMTP\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as mail:
        port = mail.sockets[0].getsockname()[1]
        with pytest.raises(BrokerRefused, match="does not speak as a device"):
            async with RemoteSubstrate(f"tcp://127.0.0.1:{port}/lab/x", connect_timeout=5):
                pass


async def test_stop_release_list_and_watch_work_without_a_broker(at: str) -> None:
    simulator = LeakySimulator()
    async with served(at, simulator) as server:
        (device,) = await find_devices(server.uri)
        assert (device.uri, device.info.id, device.status.state) == (at, "leaky", "online")
        async with RemoteSubstrate(server.uri) as substrate, aclosing(observe(at, every=0.05)) as looks:
            await anext(looks)
            for _ in range(20):
                await substrate.stimulate(ONE)
            async for seen in looks:
                if seen.responses == 20:
                    break
            await emergency_stop(at)
            with pytest.raises(SubstrateDisconnected, match="was stopped"):
                await substrate.stimulate(ONE)
        with pytest.raises(SubstrateDisconnected, match="was stopped"):
            async with RemoteSubstrate(at, connect_timeout=1):
                pass
        await release(at)
        async with RemoteSubstrate(at) as substrate:
            assert (await substrate.stimulate(ONE)).sequence == 0  # it had returned to rest


async def test_limits_are_kept_at_the_device_whatever_the_client_believes(at: str) -> None:
    from test_mqtt_faults import Wider

    simulator = LeakySimulator()
    async with served(at, simulator) as server, Wider(server.uri) as substrate:
        with pytest.raises(StimulusRejected, match="drives i0 with 50 V; leaky allows -1 to 1 V"):
            await substrate.stimulate(Stimulus(np.full((1, 3), 50.0), 0.01))
        assert simulator.applied == []


async def test_large_frames_pass_in_parts_and_give_the_same(at: str) -> None:
    simulator, alone = (LeakySimulator(inputs=60, outputs=60, samples=1) for _ in range(2))
    drive = np.random.default_rng(0).uniform(-1, 1, (1000, 60))
    async with served(at, simulator) as server, RemoteSubstrate(server.uri) as substrate:
        for _ in range(3):
            response: Response = await substrate.stimulate(Stimulus(drive, 0.01))
            assert np.array_equal(response.signal, alone.advance(Stimulus(drive, 0.01)).signal)


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"was announced"),
        (packed(StreamKind.MESSAGE, b"stop"), b"no greeting"),
        (packed(StreamKind.HELLO, b"", b'{"version":9}'), b"version 9"),
        (packed(StreamKind.HELLO, b"", b"\xff"), b""),
        (HELLO + packed(StreamKind.MESSAGE, b"status", b"{}"), b"publishes on status"),
        (HELLO + packed(StreamKind.MESSAGE, b"response/anyone/x", b"{}"), b"publishes on response"),
        (HELLO + packed(StreamKind.MESSAGE, b"info", b"{}"), b"publishes on info"),
        (HELLO + packed(StreamKind.MESSAGE, b"stimulus/a/b/c", b""), b"publishes on stimulus/a/b/c"),
        (HELLO + packed(StreamKind.MESSAGE, b"stimulus//b", b""), b"publishes on stimulus//b"),
        (HELLO + packed(StreamKind.MESSAGE, b"\xff", b""), b"ascii"),
        (HELLO + packed(99), b"kind 99"),
        (HELLO + packed(StreamKind.SUBSCRIBE, b"", b"\n".join(b"%d" % k for k in range(200))), b"200 subscriptions"),
        (HELLO + struct.pack("<IBB", 0xFFFFFFFF, 1, 4), b"was announced"),
        (HELLO + struct.pack("<IBB", 3, 1, 40), b"was announced"),
    ],
)
async def test_what_a_client_may_not_do_ends_its_connection_and_nothing_else(sent: bytes, why: bytes) -> None:
    simulator = LeakySimulator()
    async with served("tcp://127.0.0.1:0", simulator) as server, RemoteSubstrate(server.uri) as substrate:
        reader, writer = await raw(server)
        writer.write(sent)
        assert why in await refusal(reader)
        writer.close()
        assert (await substrate.stimulate(ONE)).sequence == 0
        assert len(simulator.applied) == 1
        assert server._device_state.online


async def test_a_client_that_says_nothing_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inmateria.adapters.mqtt.device.socket_hub.KEEPALIVE", 0.2)
    async with served("tcp://127.0.0.1:0", LeakySimulator()) as server:
        for greeting in (b"", HELLO):
            reader, writer = await raw(server)
            writer.write(greeting)
            await closed(reader)  # returns, since it is closed at the other end
            writer.close()


async def test_a_stop_comes_through_beside_floods_from_all_connections_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("inmateria.adapters.mqtt.device.socket_hub.KEEPALIVE", 60)  # most say nothing, and are to stay
    simulator, floods = LeakySimulator(), []
    flood = packed(StreamKind.MESSAGE, b"stimulus/anyone/flood", encode(Header(kind=Kind.RENEW, session="flood"))) * 500

    async def send(writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(flood)
            await writer.drain()

    async with served("tcp://127.0.0.1:0", simulator) as server:
        writers = []
        for number in range(64):
            reader, writer = await raw(server)
            writer.write(HELLO)
            await reader.readexactly(6)  # it is admitted
            writers.append(writer)
            if number < 3:
                floods.append(asyncio.create_task(send(writer)))
        with pytest.raises(BrokerRefused, match="many connections are open"):
            async with RemoteSubstrate(server.uri):
                pass
        await emergency_stop(server.uri, timeout=30)
        for each in floods:
            each.cancel()
        await asyncio.wait(floods)
        for writer in writers:
            writer.transport.abort()


async def test_a_client_that_does_not_read_holds_up_no_other_and_memory_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("inmateria.adapters.mqtt.device.socket_hub._UNREAD", 1 << 20)
    simulator = LeakySimulator(outputs=400, samples=1)
    drive = np.zeros((1000, 3))
    async with served("tcp://127.0.0.1:0", simulator) as server, RemoteSubstrate(server.uri) as substrate:
        deaf = socket.create_connection(("127.0.0.1", port_of(server)))
        deaf.sendall(HELLO + packed(StreamKind.SUBSCRIBE, b"", b"response/+/+\nstimulus/+/+"))
        for _ in range(8):  # 26 MB
            deaf.sendall(packed(StreamKind.PING))
            await substrate.stimulate(Stimulus(drive, 0.01))
        assert server._hub is not None
        waiting = [client._transport.get_write_buffer_size() for client in server._hub._clients]
        assert 0 < max(waiting) < 3 << 20
        deaf.close()


@given_by(pieces=st.lists(st.binary(max_size=60), max_size=6), most=st.integers(0, 40))
@settings(max_examples=300)
def test_messages_are_read_however_the_stream_is_cut(pieces: list[bytes], most: int) -> None:
    whole = b"".join(packed(StreamKind.MESSAGE, b"t%d" % len(each), each) for each in pieces)
    reader, found = MessageReader(60), []
    for at in range(0, len(whole), most + 1):
        found += reader.take(whole[at : at + most + 1])
    assert found == [(StreamKind.MESSAGE, b"t%d" % len(each), each) for each in pieces]


@given_by(garbage=st.binary(max_size=200))
@settings(max_examples=300)
def test_garbage_is_refused_or_waited_for_and_nothing_is_allocated_for_what_it_announces(garbage: bytes) -> None:
    reader = MessageReader(1000)
    try:
        found = reader.take(garbage)
    except ValueError:
        return
    assert sum(6 + len(topic) + len(payload) for _, topic, payload in found) + len(reader._held) == len(garbage)


async def test_hostile_bytes_after_a_greeting_move_no_stimulus() -> None:
    simulator, chance = LeakySimulator(), np.random.default_rng(0)
    async with served("tcp://127.0.0.1:0", simulator) as server, RemoteSubstrate(server.uri) as substrate:
        topic = f"stimulus/anyone/{substrate._session}".encode()
        for number in range(60):
            reader, writer = await raw(server)
            frame = bytearray(
                encode(Header(kind=Kind.STIMULUS, session=substrate._session, step=0.01), np.ones((1, 3)))
            )
            frame[int(chance.integers(len(frame)))] ^= 1 << int(chance.integers(8))
            message = packed(StreamKind.MESSAGE, topic, bytes(frame))
            writer.write(HELLO + message + chance.bytes(int(chance.integers(60))) * (number % 2))
            writer.write_eof()
            await closed(reader)
            writer.close()
        assert simulator.applied == []
        assert (await substrate.stimulate(ONE)).sequence == 0


async def test_a_client_whose_event_loop_was_held_looks_at_what_came_before_it_gives_up(at: str) -> None:
    async with served(at, LeakySimulator()) as server, RemoteSubstrate(server.uri, timeout=1.0) as substrate:
        asking = asyncio.create_task(substrate.stimulate(ONE))
        await asyncio.sleep(0)
        time.sleep(3.0)  # noqa: ASYNC251  # as when a caller computes on the loop, or the machine stands still
        assert (await asking).sequence == 0


async def test_a_link_lost_while_it_is_used_says_so(at: str) -> None:
    async with served(at, LeakySimulator()) as server:
        place = DeviceSocket.from_uri(server.uri)
        async with open_link(place, timeout=5) as link:
            await link.subscribe("inmateria/1/socket/device/info")
            first = await anext(link.messages())
            assert first.topic == "inmateria/1/socket/device/info"
            assert first.retained
            await link.publish("inmateria/1/socket/device/status", b"{}")
            with pytest.raises(BrokerRefused, match="publishes on status"):
                await anext(link.messages())
            with pytest.raises(BrokerRefused, match="publishes on status"):
                await link.publish("inmateria/1/socket/device/stop", b"")
