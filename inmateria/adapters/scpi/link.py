"""A TCP connection to an instrument: lines are sent, and each query has its answer or the connection is given up."""

import asyncio
import socket
from contextlib import suppress
from typing import Self

from inmateria.errors import SubstrateDisconnected, SubstrateTimeout

__all__ = ["ScpiLink"]

_MOST_BYTES = 1 << 20


class ScpiLink:
    """A connection. After a timeout, a loss or a cancelled query it is closed, so that no answer is taken for another.

    Parameters
    ----------
    reader, writer : asyncio streams
    name : str
        Host and port, for messages.
    timeout : float
        Longest wait for an answer, s.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str, timeout: float) -> None:
        self._reader, self._writer, self._name, self._timeout = reader, writer, name, timeout

    @classmethod
    async def open(cls, host: str, port: int, timeout: float) -> Self:
        """Connect.

        Raises
        ------
        SubstrateTimeout, SubstrateDisconnected
        """
        name = f"{host}:{port}"
        try:
            async with asyncio.timeout(timeout):
                reader, writer = await asyncio.open_connection(host, port, limit=_MOST_BYTES)
        except TimeoutError:
            raise SubstrateTimeout(f"nothing at {name} answered within {timeout:g} s") from None
        except OSError as error:
            raise SubstrateDisconnected(
                f"no connection to {name} ({error.strerror or error})",
                "instruments listen for SCPI on a TCP port, most on 5025",
                "see that it is on, and that its raw socket is enabled",
            ) from None
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return cls(reader, writer, name, timeout)

    @property
    def closed(self) -> bool:
        """Whether it is closed, by either side as far as is known."""
        return self._writer.is_closing() or self._reader.at_eof()

    async def send(self, line: str) -> None:
        """Send a line that has no answer.

        Raises
        ------
        SubstrateDisconnected, SubstrateTimeout
            If it cannot be sent; the connection is closed then.
        """
        try:
            self._writer.write(line.encode("ascii") + b"\n")
            async with asyncio.timeout(self._timeout):
                await self._writer.drain()
        except TimeoutError:
            await self.close()
            raise SubstrateTimeout(f"{self._name} did not take {line!r} within {self._timeout:g} s") from None
        except OSError as error:
            await self.close()
            raise SubstrateDisconnected(f"the connection to {self._name} was lost at {line!r} ({error})") from None
        except BaseException:
            await self.close()
            raise

    async def ask(self, line: str) -> str:
        """Send a query and return its answer.

        Raises
        ------
        SubstrateDisconnected, SubstrateTimeout
            If there is none; the connection is closed then.
        """
        await self.send(line)
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._reader.readline()
        except TimeoutError:
            await self.close()
            raise SubstrateTimeout(
                f"{self._name} did not answer {line!r} within {self._timeout:g} s",
                "each query has an answer that ends with a line feed",
                "see what the instrument shows, or give a longer timeout",
            ) from None
        except ValueError:
            await self.close()
            raise SubstrateDisconnected(f"{self._name} answered {line!r} with more than {_MOST_BYTES} bytes") from None
        except OSError as error:
            await self.close()
            raise SubstrateDisconnected(f"the connection to {self._name} was lost at {line!r} ({error})") from None
        except BaseException:
            await self.close()
            raise
        if not answer.endswith(b"\n"):
            await self.close()
            raise SubstrateDisconnected(f"{self._name} closed the connection before it answered {line!r}")
        return answer.decode("ascii", "replace").strip()

    async def close(self) -> None:
        """Close the connection."""
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()
