"""A hostile stretch of network between a client and its broker: late, lossy, and reset at will."""

import asyncio
import random
import socket
import struct
from contextlib import suppress
from types import TracebackType
from typing import Self

_PUBLISH = 3
_LITTLE = 16_384


class FaultProxy:
    """Passes MQTT packets on, with faults; an async context manager.

    Parameters
    ----------
    port : int
        Of the broker, on this machine.
    delay, jitter : float
        Seconds that each packet is late, and up to how many more, drawn anew for each; order is kept.
    reset_every : int
        Frames after which a connection is reset, both ways together.
    drop, double, overtaken : float
        Chance of a frame to be dropped, passed on twice, or kept until the next one has gone.
    seed : int

    Attributes
    ----------
    faults : int
        How many frames were dropped, doubled or overtaken, and connections reset.
    """

    _cut = False
    """Whether a connection is reset in the middle of a packet."""

    def __init__(
        self,
        port: int,
        *,
        delay: float = 0.0,
        jitter: float = 0.0,
        reset_every: int = 0,
        drop: float = 0.0,
        double: float = 0.0,
        overtaken: float = 0.0,
        seed: int = 0,
    ) -> None:
        self._broker = port
        self._delay, self._jitter, self._reset_every = delay, jitter, reset_every
        self._drop, self._double, self._overtaken = drop, double, overtaken
        self._chance = random.Random(seed)
        self._tasks: set[asyncio.Task[None]] = set()
        self._pairs: list[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = []
        self._half_dead: list[asyncio.StreamWriter] = []
        self.faults = 0
        self.port = 0

    @staticmethod
    async def _packet(reader: asyncio.StreamReader) -> bytes:
        return await _mqtt_packet(reader)

    @staticmethod
    def _is_frame(packet: bytes) -> bool:
        return _is_mqtt_frame(packet)

    @property
    def uri(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def lose_near_side(self, only: int | None = None) -> None:
        """Reset the connections of the clients, or one of them; the broker does not notice until `lose_far_side`."""
        for near, far in self._pairs[:] if only is None else [self._pairs[only]]:
            self._pairs.remove((near, far))
            self._half_dead.append(far)
            near.transport.abort()

    def lose_far_side(self) -> None:
        """Reset the broker's side of the connections that have lost their client."""
        for far in self._half_dead:
            far.transport.abort()
        self._half_dead.clear()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        self.lose_far_side()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        own = asyncio.current_task()
        assert own is not None
        self._tasks.add(own)
        far: asyncio.StreamWriter | None = None
        passed = [0]
        try:
            far_reader, far = await asyncio.open_connection("127.0.0.1", self._broker)
            self._pairs.append((writer, far))
            ways = [asyncio.create_task(self._pass(reader, far, passed)),
                    asyncio.create_task(self._pass(far_reader, writer, passed))]  # fmt: skip
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.wait(ways)
        except (OSError, asyncio.CancelledError):
            pass  # the broker is away, or the test is over
        finally:
            reset = self._reset_every and passed[0] >= self._reset_every
            if far is not None and (writer, far) in self._pairs:
                self._pairs.remove((writer, far))
            for each in (writer, far):
                if each is not None and each not in self._half_dead:
                    if reset:
                        linger = struct.pack("ii", 1, 0)
                        each.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    each.transport.abort()
            self.faults += bool(reset)
            self._tasks.discard(own)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, passed: list[int]) -> None:
        """Pass packets on until either side is gone, or the connection is to be reset."""
        late: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        writing = asyncio.create_task(self._write(late, writer))
        clock = asyncio.get_running_loop()
        held: bytes | None = None
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                while not writing.done():
                    packet = await self._packet(reader)
                    due = clock.time() + self._delay + self._chance.uniform(0, self._jitter)
                    copies = [packet]
                    if self._is_frame(packet):
                        passed[0] += 1
                        fate = self._chance.random()
                        if fate < self._drop:
                            copies = []
                        elif fate < self._drop + self._double:
                            copies = [packet, packet]
                        elif fate < self._drop + self._double + self._overtaken and held is None:
                            held, copies = packet, []
                        self.faults += len(copies) != 1
                        if copies and held is not None:
                            copies, held = [*copies, held], None
                    if self._cut and self._reset_every and passed[0] >= self._reset_every:
                        writer.write(packet[: len(packet) // 2])
                        return
                    for each in copies:
                        late.put_nowait((due, each))
                    if self._reset_every and passed[0] >= self._reset_every:
                        return
        finally:
            writing.cancel()
            await asyncio.wait({writing})

    async def _write(self, late: "asyncio.Queue[tuple[float, bytes]]", writer: asyncio.StreamWriter) -> None:
        clock = asyncio.get_running_loop()
        with suppress(OSError):
            while True:
                due, packet = await late.get()
                if due > clock.time():
                    await asyncio.sleep(due - clock.time())
                writer.write(packet)
                await writer.drain()


class SocketFaultProxy(FaultProxy):
    """The same for the stream of messages between a client and a device at a TCP socket, without a broker."""

    _cut = True

    @property
    def uri(self) -> str:
        return f"tcp://127.0.0.1:{self.port}/lab/leaky"

    @staticmethod
    async def _packet(reader: asyncio.StreamReader) -> bytes:
        head = await reader.readexactly(4)
        return head + await reader.readexactly(int.from_bytes(head, "little"))

    @staticmethod
    def _is_frame(packet: bytes) -> bool:
        return packet[4] == 1 and packet[6:].startswith((b"stimulus/", b"response/"))


class SlowLine:
    """A line of so many bytes a second each way, with little in between; an async context manager.

    Parameters
    ----------
    port : int
        Of the broker, on this machine.
    rate : float
        Bytes a second.

    Attributes
    ----------
    rate : float
        May be changed.
    passed : int
        Bytes towards the broker so far.
    """

    def __init__(self, port: int, rate: float) -> None:
        self._broker, self.rate = port, rate
        self._tasks: set[asyncio.Task[None]] = set()
        self.passed = 0
        self.port = 0

    @property
    def uri(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _LITTLE)  # before it listens: taken over by each
        listening.bind(("127.0.0.1", 0))
        self._server = await asyncio.start_server(self._serve, sock=listening, limit=_LITTLE)
        self.port = listening.getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        own = asyncio.current_task()
        assert own is not None
        self._tasks.add(own)
        far: asyncio.StreamWriter | None = None
        try:
            far_reader, far = await asyncio.open_connection("127.0.0.1", self._broker, limit=_LITTLE)
            for each in (writer, far):
                each.transport.set_write_buffer_limits(0)
                each.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _LITTLE)
            ways = [asyncio.create_task(self._pass(reader, far, True)),
                    asyncio.create_task(self._pass(far_reader, writer, False))]  # fmt: skip
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.wait(ways)
        except (OSError, asyncio.CancelledError):
            pass  # the broker is away, or the test is over
        finally:
            for each in (writer, far):
                if each is not None:
                    each.transport.abort()
            self._tasks.discard(own)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, forth: bool) -> None:
        clock = asyncio.get_running_loop()
        due = clock.time()
        with suppress(OSError):
            while data := await reader.read(_LITTLE):
                due = max(due, clock.time()) + len(data) / self.rate
                await asyncio.sleep(due - clock.time())
                writer.write(data)
                await writer.drain()
                self.passed += len(data) * forth


async def _mqtt_packet(reader: asyncio.StreamReader) -> bytes:
    """Read one MQTT packet."""
    head = await reader.readexactly(1)
    length, shift = 0, 0
    while True:
        byte = await reader.readexactly(1)
        head += byte
        length |= (byte[0] & 127) << shift
        shift += 7
        if byte[0] < 128:
            return head + await reader.readexactly(length)


def _is_mqtt_frame(packet: bytes) -> bool:
    """Tell whether it publishes, at QoS 0, a stimulus or a response."""
    return packet[0] == _PUBLISH << 4 and (b"/stimulus/" in packet[:200] or b"/response/" in packet[:200])
