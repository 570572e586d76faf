"""Who may open the live page, what a viewer may say, what is dropped, and how it ends."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import numpy as np
import pytest
import trustme
from leaky import LeakySimulator
from pages import RUNNING, ToldSource, columns, hello, served
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from inmateria.adapters import DeviceServer, EmbeddedBroker, RemoteSubstrate, SimulatedSubstrate
from inmateria.errors import SubstrateDisconnected
from inmateria.live import page_server
from inmateria.live.access import Access
from inmateria.live.messages import Event, Status
from inmateria.live.page_server import PROTOCOL
from inmateria.live.serving import serve_live
from inmateria.live.viewers import MOST_FRAMES, UNACKNOWLEDGED, Stream, Viewer
from inmateria.recording import RecordingWriter
from inmateria.substrate import Stimulus

INMATERIA = [sys.executable, "-m", "inmateria"]


def viewing(address: str, token: str | None = None, **headers: Any) -> connect:
    """Open the web socket of a page, with the token of its address or another one."""
    parts = urlsplit(address)
    token = parts.fragment if token is None else token
    protocols: Any = [PROTOCOL, f"token.{token}"] if token else [PROTOCOL]
    return connect(f"ws://{parts.netloc}/live", subprotocols=protocols, compression=None, proxy=None, **headers)


async def heard(socket: ClientConnection, kind: str) -> dict[str, Any]:
    """Return the next text message of a type."""
    async with asyncio.timeout(20):
        while True:
            message = await socket.recv()
            if isinstance(message, str) and (found := json.loads(message))["type"] == kind:
                return found


async def asked(address: str, path: str = "/", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Ask for a file, as curl would."""
    parts = urlsplit(address)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    lines = {"Host": parts.netloc, "Connection": "close", **headers}
    written = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    writer.write(f"GET {path} HTTP/1.1\r\n{written}\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    first, *rest = head.decode().split("\r\n")
    return int(first.split()[1]), {a.lower(): b for a, b in (line.split(": ", 1) for line in rest)}, body


async def test_files_are_served_with_a_policy_that_lets_nothing_else_in() -> None:
    async with served(ToldSource(hello())) as addresses:
        for path, kind in (("/", "text/html"), ("/main.js", "text/javascript"), ("/page.css", "text/css")):
            status, headers, body = await asked(addresses["watch"], path)
            assert status == 200
            assert headers["content-type"].startswith(kind)
            assert len(body) > 100
            policy = headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert headers["x-content-type-options"] == "nosniff"
            assert "server" not in headers
        for path in ("/../messages.py", "/%2e%2e/messages.py", "/messages.py", "/page/index.html", "//etc/passwd"):
            assert (await asked(addresses["watch"], path))[0] == 404


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8765", "127.0.0.1.evil.example", "192.168.0.1", ""])
async def test_a_name_that_was_rebound_to_this_machine_is_refused(host: str) -> None:
    async with served(ToldSource(hello())) as addresses:
        assert (await asked(addresses["watch"], Host=host))[0] in (400, 421)
        with pytest.raises(InvalidStatus) as refused:
            async with viewing(addresses["watch"], additional_headers={"Host": host}):
                pass
        assert refused.value.response.status_code in (400, 403)


async def test_a_web_socket_of_another_site_is_refused() -> None:
    async with served(ToldSource(hello())) as addresses:
        netloc = urlsplit(addresses["watch"]).netloc
        for origin in ("http://evil.example", "null", f"http://{netloc}.evil.example", "http://localhost:1", ""):
            with pytest.raises(InvalidStatus):
                async with viewing(addresses["watch and stop"], origin=origin):
                    pass
        async with viewing(addresses["watch"], origin=f"http://{netloc}") as socket:
            assert (await heard(socket, "hello"))["title"] == "a device"
            assert socket.subprotocol == PROTOCOL


async def test_on_another_interface_only_the_token_opens_it() -> None:
    source = ToldSource(hello())
    async with served(source, host="0.0.0.0") as addresses:
        port = urlsplit(addresses["watch"]).port
        here = f"http://127.0.0.1:{port}/"
        tokens = {what: urlsplit(address).fragment for what, address in addresses.items()}
        assert len(set(tokens.values())) == 2
        assert all(len(token) >= 32 for token in tokens.values())
        for wrong in ("", "x", tokens["watch"][:-1], tokens["watch"] + "x"):
            async with viewing(here, wrong) as socket:
                with pytest.raises(ConnectionClosed) as closed:
                    await socket.recv()
                assert closed.value.rcvd is not None
                assert closed.value.rcvd.code == 4401
        for what, token in tokens.items():
            async with viewing(here, token) as socket:
                assert (await heard(socket, "rights"))["stop"] == (what == "watch and stop")
                await socket.send('{"type":"stop","title":"a device"}')
                assert (await heard(socket, "stopped"))["done"] == (what == "watch and stop")
        assert source.stopped == 1


def test_rights_of_tokens() -> None:
    here, there = Access("127.0.0.1", True), Access("0.0.0.0", True)
    assert here.rights("") == (True, False)
    assert here.rights("wrong") == (False, False)  # of an earlier time: said, not shown without
    assert here.rights(here.stopping) == (True, True)
    assert there.rights("") == (False, False)
    assert there.rights(there.watching) == (True, False)
    assert there.rights(there.stopping) == (True, True)
    assert there.rights(here.stopping) == (False, False)
    assert there.rights("ü") == (False, False)
    assert Access("0.0.0.0", False).addresses(1, encrypted=True).keys() == {"watch"}
    assert here.watching not in repr(here)
    for name, allowed in (("127.0.0.1:80", True), ("localhost", True), ("[::1]:80", True), ("10.0.0.1", False)):
        assert here.allows_host(name) is allowed
    for name, allowed in (("10.0.0.1:80", True), (socket.gethostname(), True), ("evil.example", False), ("[", False)):
        assert there.allows_host(name) is allowed


async def test_a_viewer_can_say_nothing_but_that_it_has_a_frame_and_stop() -> None:
    source = ToldSource(hello())
    async with served(source) as addresses:
        for said in (
            '{"type":"stimulus","drive":[[1]]}', '{"type":"release"}', "garbage", '{"type":"ack"}', b"\x00", "[]",
            '{"type":"ack","number":"1"}',
        ):  # fmt: skip
            async with viewing(addresses["watch and stop"]) as socket:
                await heard(socket, "rights")
                await socket.send(said)
                with pytest.raises(ConnectionClosed) as closed:
                    await heard(socket, "stopped")
                assert closed.value.rcvd is not None
                assert closed.value.rcvd.code == 4400
        async with viewing(addresses["watch and stop"]) as socket:
            await socket.send('{"type":"ack","number":1}' + " " * 5000)
            with pytest.raises(ConnectionClosed):  # too long
                await heard(socket, "stopped")
        async with viewing(addresses["watch and stop"]) as socket:
            await socket.send('{"type":"stop","title":"another device"}')
            answer = await heard(socket, "stopped")
            assert not answer["done"]
            assert "another device" in answer["error"]
        assert source.stopped == 0


async def test_a_viewer_that_comes_later_is_sent_the_latest_of_each() -> None:
    source = ToldSource(hello())
    async with served(source) as addresses:
        source.tell(Status(state="offline"), RUNNING)
        async with viewing(addresses["watch"]) as first:
            while (await heard(first, "status"))["state"] != "online":
                pass
            async with viewing(addresses["watch"]) as socket:
                assert (await heard(socket, "hello"))["outputs"][1]["name"] == "e1"
                assert (await heard(socket, "status"))["holder"] == "ada/1"
        source.tell(None)  # nothing can come any more: it is still there to be looked at
        async with viewing(addresses["watch"]) as socket:
            assert (await heard(socket, "status"))["state"] == "online"


def some(number: int) -> Any:
    zeros = np.zeros((5, 4))
    return columns(number + np.arange(5) / 10, 0.1, zeros, zeros, np.zeros((5, 1)), [(number, 1)])


async def test_queues_are_bounded_and_the_oldest_frames_are_dropped_and_told() -> None:
    stream, slow = Stream(hello()), Viewer()
    stream.join(slow)
    assert json.loads(await slow.next())["type"] == "hello"
    for number in range(100):
        stream.publish(some(number))
        stream.publish(Status(state=str(number)))
    for number in range(1000):
        stream.publish(Event(time=number, label="x"))
    texts = [json.loads(await slow.next()) for _ in range(257)]
    assert texts[0] == {"type": "status", **msgspec.to_builtins(Status(state="99"))}
    events = [each["time"] for each in texts if each["type"] == "event"]
    assert events == list(range(1000 - len(events), 1000))
    assert len(texts) - 1 == len(events) + 1  # the last text is of what was dropped
    lost = texts[-1]
    assert lost == {"type": "dropped", "columns": 5 * (100 - MOST_FRAMES), "spikes": 92, "start": 0.0, "end": 91.5}
    frames = [await slow.next() for _ in range(MOST_FRAMES)]
    assert [int.from_bytes(frame[4:8], "little") for frame in frames] == list(range(92, 100))
    assert slow.dropped == lost["columns"]


async def test_no_more_frames_are_under_way_than_may_be_unacknowledged() -> None:
    stream, viewer = Stream(hello()), Viewer()
    stream.join(viewer)
    await viewer.next()
    for number in range(UNACKNOWLEDGED):
        stream.publish(some(number))
        assert int.from_bytes((await viewer.next())[4:8], "little") == number
    stream.publish(some(UNACKNOWLEDGED))
    waiting = asyncio.ensure_future(viewer.next())
    await asyncio.sleep(0.01)
    assert not waiting.done()
    assert viewer.waits
    viewer.acknowledge(0)
    assert int.from_bytes((await waiting)[4:8], "little") == UNACKNOWLEDGED


async def test_a_viewer_that_acknowledges_nothing_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_server, "_SILENT", 0.2)
    source = ToldSource(hello())
    async with served(source) as addresses, viewing(addresses["watch"]) as socket:
        await heard(socket, "rights")
        for number in range(30):
            source.tell(some(number))
            await asyncio.sleep(0.005)
        with pytest.raises(ConnectionClosed) as closed:
            await heard(socket, "stopped")
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4408


async def test_there_are_at_most_so_many_viewers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_server, "MOST_VIEWERS", 2)
    async with (
        served(ToldSource(hello())) as addresses,
        viewing(addresses["watch"]) as one,
        viewing(addresses["watch"]) as two,
    ):
        await heard(one, "rights")
        await heard(two, "rights")
        async with viewing(addresses["watch"]) as third:
            with pytest.raises(ConnectionClosed) as closed:
                await third.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 4429


async def test_ending_leaves_no_task_and_an_emergency_stop_under_way_is_finished() -> None:
    source, stopping, go = ToldSource(hello()), asyncio.Event(), asyncio.Event()

    async def stop() -> None:
        stopping.set()
        await go.wait()
        source.stopped += 1

    source.stop = stop  # type: ignore[method-assign]
    before = asyncio.all_tasks()
    async with served(source) as addresses:
        socket = await viewing(addresses["watch and stop"])
        await socket.send('{"type":"stop","title":"a device"}')
        await stopping.wait()
        asyncio.get_running_loop().call_later(0.2, go.set)
    assert source.stopped == 1
    assert source.closed
    await socket.close()
    async with asyncio.timeout(30):
        while asyncio.all_tasks() - before:  # noqa: ASYNC110  # the client's own ends a moment after it was closed
            await asyncio.sleep(0.01)


async def test_a_failure_of_the_source_ends_it_with_its_error() -> None:
    source = ToldSource(hello())

    async def messages() -> Any:
        yield RUNNING
        raise SubstrateDisconnected("the device burnt down")

    source.messages = messages  # type: ignore[method-assign]
    with pytest.raises(SubstrateDisconnected, match="burnt down"):
        await asyncio.wait_for(serve_live(source, lambda addresses: None, port=0), 30)


async def test_a_port_in_use_and_a_host_of_others_are_said() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OSError, match=r"port \d+ of 127.0.0.1 is in use; give another --port"):
            async with served(ToldSource(hello()), port=taken.getsockname()[1]):
                pass
    with pytest.raises(OSError, match=r"cannot be served on 192\.0\.2\.1.*give another --host"):
        async with served(ToldSource(hello()), host="192.0.2.1"):
            pass


async def test_with_a_certificate_it_is_encrypted(tmp_path: Path) -> None:
    ca = trustme.CA()
    own = ca.issue_cert("localhost", "127.0.0.1")
    own.private_key_pem.write_to_path(tmp_path / "key.pem")
    own.cert_chain_pems[0].write_to_path(tmp_path / "certificate.pem")
    import ssl

    context = ssl.create_default_context()
    ca.configure_trust(context)
    settings = {"certificate": tmp_path / "certificate.pem", "key": tmp_path / "key.pem"}
    async with served(ToldSource(hello()), **settings) as addresses:
        assert addresses["watch"].startswith("https://127.0.0.1:")
        netloc = urlsplit(addresses["watch"]).netloc
        async with connect(
            f"wss://{netloc}/live", ssl=context, origin=f"https://{netloc}", subprotocols=[PROTOCOL], proxy=None
        ) as socket:
            await heard(socket, "hello")


async def test_the_emergency_stop_of_the_page_stops_a_device_and_what_passes_is_seen() -> None:
    """All of it: device, broker, controller, command line, web socket."""
    async with (
        EmbeddedBroker() as broker,
        DeviceServer(SimulatedSubstrate(LeakySimulator(spiking=True)), broker.uri) as server,
    ):
        process = await asyncio.create_subprocess_exec(
            *INMATERIA, "watch", server.uri, "--web", "--port", "0", "--json", stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        addresses = json.loads(await asyncio.wait_for(process.stdout.readline(), 120))
        async with viewing(addresses["watch and stop"]) as socket, RemoteSubstrate(server.uri) as remote:
            assert (await heard(socket, "hello"))["id"] == LeakySimulator().info.id
            got = [await remote.stimulate(Stimulus(np.full((2, 3), 0.1 * k), 0.01)) for k in range(5)]
            low, high, end = [], [], 0.0
            async with asyncio.timeout(30):
                while end < 5 * 2 * 0.01 - 1e-9:
                    frame = await socket.recv()
                    if isinstance(frame, bytes):
                        count, outputs, _, spikes = np.frombuffer(frame, "<u4", 4, 8).tolist()
                        values = np.frombuffer(frame, "<f4", 2 * count * outputs, 40 + 16 * count + 8 * spikes)
                        low.append(values[: count * outputs].reshape(count, outputs))
                        high.append(values[count * outputs :].reshape(count, outputs))
                        end = np.frombuffer(frame, "<f8", count, 40 + 8 * count)[-1]
            measured = np.concatenate([each.signal.reshape(-1, 4) for each in got])
            assert np.concatenate(low).min(axis=0) == pytest.approx(measured.min(axis=0))
            assert np.concatenate(high).max(axis=0) == pytest.approx(measured.max(axis=0))
            await socket.send(json.dumps({"type": "stop", "title": server.uri}))
            assert (await heard(socket, "stopped")) == {"type": "stopped", "done": True, "error": ""}
            while (await heard(socket, "status"))["state"] != "stopped":
                pass
            with pytest.raises(SubstrateDisconnected):
                await remote.stimulate(Stimulus(np.zeros((1, 3)), 0.01))
        process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), 30) == 0


def test_a_missing_extra_is_named() -> None:
    code = """
import sys
from inmateria.cli import main
sys.argv = ["inmateria", "watch", "mqtt://127.0.0.1:1/lab/x", "--web"]
for name in ("websockets", "uvicorn", "starlette"):  # one that was loaded is not missing
    sys.modules[name] = None
    try:
        main()
    except SystemExit as ended:
        print(f"{name}: {ended.code}", file=sys.stderr)
    del sys.modules[name]
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120).stderr
    for name in ("websockets", "uvicorn", "starlette"):
        message, _, told = told.partition(f"{name}: 2\n")
        assert "pip install 'inmateria[live]'" in message
        assert name in message


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nanowire://", "--web"], 2, "inmateria serve"),
        (["none.h5", "--web"], 2, "does not exist"),
        (["notes.txt", "--web"], 2, "not an HDF5 file"),
        (["mqtt://127.0.0.1:1/lab/x", "--web", "--port", "0"], 3, "127.0.0.1:1"),
        (["mqtt://127.0.0.1:1/lab/x", "--web", "--speed", "2"], 1, "none"),
        (["mqtt://127.0.0.1:1/lab/x", "--port", "0"], 2, "only with --web"),
        (["mqtt://127.0.0.1:1/lab/x", "--web", "--every", "1"], 2, "not with --web"),
    ],
)
def test_what_cannot_be_watched_is_said(
    arguments: list[str], code: int, words: str, tmp_path: Path, inmateria_here: Callable[..., Any]
) -> None:
    (tmp_path / "notes.txt").write_text("hello", "utf-8")
    ended = inmateria_here("watch", *arguments)
    assert ended.returncode == code, ended.stderr
    assert words in " ".join(ended.stderr.replace("│", " ").split()), ended.stderr


def test_ctrl_c_ends_it_at_once_with_a_viewer_connected(tmp_path: Path) -> None:
    info = LeakySimulator().info
    RecordingWriter(tmp_path / "r.h5", info).close()
    process = subprocess.Popen(
        [*INMATERIA, "watch", str(tmp_path / "r.h5"), "--web", "--port", "0", "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    address = json.loads(process.stdout.readline())["watch"]
    assert "#" not in address  # a file has nothing to stop

    async def look() -> None:
        async with viewing(address) as socket:
            await heard(socket, "hello")
            process.send_signal(signal.SIGINT)
            with pytest.raises(ConnectionClosed):
                await heard(socket, "nothing of the kind")

    asyncio.run(look())
    began = time.monotonic()
    _, errors = process.communicate(timeout=60)
    assert time.monotonic() - began < 30
    assert process.returncode == 0, errors
    assert errors == "" or "compil" in errors
