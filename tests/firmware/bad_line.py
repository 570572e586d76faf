"""A bridge from TCP to an emulated board's line that damages bytes and is cut, and an account of what went over it."""

import asyncio
import os
import re
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from inmateria.adapters.boards.emulator import EmulatedBoard
from inmateria.adapters.boards.substrate import tcp_from_uri
from inmateria.concurrency import cancel_and_wait
from inmateria.substrate import SubstrateDisconnected

PER_EXCHANGE = 50


class BadLine:
    """A server on a free port; each byte that passes is damaged, lost or doubled with a probability."""

    def __init__(self, device: str, damage: float, seed: int) -> None:
        self._device, self._damage = device, damage
        self._generator = np.random.default_rng(seed)
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.damaged = 0

    async def __aenter__(self) -> "BadLine":
        self._open()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cut()
        self._server.close()
        await cancel_and_wait(*self._tasks)
        self._close()

    def _open(self) -> None:
        self._fd = os.open(self._device, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        asyncio.get_running_loop().add_reader(self._fd, self._from_board)

    def _close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)
        self._fd = -1

    def cut(self) -> None:
        """Cut every connection."""
        for writer in self._writers:
            writer.transport.abort()

    async def unplug(self, board: EmulatedBoard) -> None:
        """Pull out the board, for a moment: its device goes, and with it every connection; another one comes."""
        self._close()
        self.cut()
        await asyncio.to_thread(board.unplug)
        await asyncio.sleep(0.01)
        board.plug()
        self._open()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.current_task())  # type: ignore[arg-type]
        self._writers.add(writer)
        with suppress(OSError):
            while data := await reader.read(4096):
                data = self._passed(data)
                while data and self._fd >= 0:
                    try:
                        data = data[os.write(self._fd, data) :]
                    except BlockingIOError:
                        await asyncio.sleep(0.001)
        self._writers.discard(writer)
        writer.close()

    def _from_board(self) -> None:
        with suppress(BlockingIOError):
            data = self._passed(os.read(self._fd, 4096))
            for writer in self._writers:
                writer.write(data)

    def _passed(self, data: bytes) -> bytes:
        hit = np.flatnonzero(self._generator.random(len(data)) < self._damage)
        self.damaged += len(hit)
        passed = bytearray(data)
        for at in hit[::-1].tolist():
            how = int(self._generator.integers(6))
            if how == 0:
                del passed[at]
            elif how == 1:
                passed.insert(at, passed[at])
            else:
                passed[at] ^= int(self._generator.integers(1, 256))
        return bytes(passed)


@dataclass
class Account:
    """Numbers of the steps that the pins saw, and that they should have seen as the host accounts for them.

    `perhaps` are those of which it says that it cannot know: the chip was reset while it set its outputs, and was in
    one step of them at most.
    """

    applied: list[int] = field(default_factory=list)
    expected: list[int] = field(default_factory=list)
    perhaps: set[int] = field(default_factory=set)
    resent: int = 0
    resets: int = 0
    cuts: int = 0
    unplugs: int = 0
    seconds: float = 0.0


def numbered(first: int, count: int) -> np.ndarray:
    """Return a drive in which each step carries its number: in D3 and D5, base 255, and in pot0, base 127."""
    number = np.arange(first, first + count)
    drive = np.zeros((count, 6))
    drive[:, 0] = 5 * (1 + number % 255) / 255  # never 0, as at rest
    drive[:, 1] = 5 * (number // 255 % 256) / 255
    drive[:, 4] = 10_000 * (number // 255 // 256 % 128) / 127
    return drive


async def run_over_bad_line(
    steps: int, seed: int, cuts: int, resets: int, unplugs: int = 0, damage: float = 0.01
) -> Account:
    """Drive numbered steps over a bad line, and account for each of them.

    The connection is cut, the board is pulled out and plugged in, and its reset button is pressed so many times, each
    in the middle of an exchange.
    """
    account, loop = Account(), asyncio.get_running_loop()
    generator = np.random.default_rng(seed)
    exchanges = steps // PER_EXCHANGE
    chosen = generator.permutation(exchanges)[: cuts + resets + unplugs].tolist()
    cut, reset, unplugged = set(chosen[:cuts]), set(chosen[cuts : cuts + resets]), set(chosen[cuts + resets :])
    begun = loop.time()
    with EmulatedBoard(log_steps=2 * steps + 1000) as board:
        async with (
            BadLine(str(board.path), damage, seed) as line,
            tcp_from_uri(f"tcp://127.0.0.1:{line.port}?step=0.0005&watchdog=60&timeout=120") as substrate,
        ):
            for k in range(exchanges):
                stimulus = substrate.info.stimulus(numbered(k * PER_EXCHANGE, PER_EXCHANGE))
                exchange = asyncio.ensure_future(substrate.stimulate(stimulus))
                before = board.steps
                if k in cut or k in reset or k in unplugged:
                    while board.steps < before + 5 and not exchange.done():  # noqa: ASYNC110
                        await asyncio.sleep(0.0005)
                    if k in cut:
                        line.cut()
                        account.cuts += 1
                    elif k in unplugged:
                        await line.unplug(board)
                        account.unplugs += 1
                    else:
                        await asyncio.to_thread(board.reset)
                        account.resets += 1
                first = k * PER_EXCHANGE
                await asyncio.wait({exchange})
                failed = exchange.exception()
                if failed is None:
                    account.expected += range(first, first + PER_EXCHANGE)
                    read = exchange.result().signal[:, -1, 0]  # A0 is wired to D3: the answer is to these very steps
                    assert np.abs(read - stimulus.drive[:, 0]).max() < 0.011
                    continue
                # Known exactly, though the chip was reset, or to the one step that it was about to set.
                found = re.search(r"; (\d+)(?: to (\d+))? of its", str(failed))
                assert isinstance(failed, SubstrateDisconnected), failed
                assert found, failed
                applied = int(found[1])
                account.expected += range(first, first + applied)
                if found[2]:
                    assert int(found[2]) == applied + 1, failed
                    account.perhaps.add(first + applied)
            account.resent = substrate.resent
        levels = board.steps_applied()[0].astype(int)
        levels = levels[levels[:, 0] > 0]
        account.applied = (levels[:, 0] - 1 + 255 * (levels[:, 1] + 256 * levels[:, 4])).tolist()
    account.expected = sorted({*account.expected, *account.perhaps.intersection(account.applied)})
    account.seconds = loop.time() - begun
    return account
