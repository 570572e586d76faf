"""The common part of adapters to living tissue: opening and closing, turns, identity, and no reset."""

import asyncio
import re
import socket
from abc import abstractmethod
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from inmateria.adapters.tissue.pulse_log import canonical_host, log_name
from inmateria.substrate import Substrate, SubstrateError

__all__ = ["TissueSubstrate", "as_identifier", "place_of"]


class TissueSubstrate(Substrate):
    """Living tissue behind a device; an adapter implements `_open` and `_apply`."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._exits = AsyncExitStack()
        self._sequence = 0

    @abstractmethod
    async def _open(self, exits: AsyncExitStack) -> None:
        """Open the device, set `info`, and register in ``exits`` everything that closes it again."""

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as exits:
            await self._open(exits)
            self._exits = exits.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exits.__aexit__(kind, error, trace)

    async def reset(self) -> None:
        """Raise `SubstrateError`: tissue does not return to rest on command."""
        raise SubstrateError(
            f"{self.info.id} was asked to return to rest", "tissue does not do so on command", "let it rest instead"
        )


def place_of(host: str) -> str:
    """Return a host's name for an identity: for every loopback address it is this machine's own name."""
    place = canonical_host(host)
    return log_name(socket.gethostname() if place == "localhost" else place)


def as_identifier(words: str) -> str:
    """Make an id of a serial number or name: what is not a letter, a digit, ``.``, ``_`` or ``-`` becomes ``-``."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", words).strip("-._")
