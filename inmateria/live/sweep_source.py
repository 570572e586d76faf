"""A sweep, survey or search as a source of the live page."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from inmateria.desk.point_folder import SweepFolderError
from inmateria.live.messages import Columns, Hello, Message, Progress, Status, SweepState
from inmateria.live.sweep_view import SweepView
from inmateria.substrate import SubstrateError

__all__ = ["SweepSource"]

_EVERY = 1.0
"""Seconds between two looks at the folder."""


class SweepSource:
    """Shows a sweep from its folder; any number of these may watch one folder, and nothing is written there.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hello = Hello(title=str(folder), kind="sweep")

    async def __aenter__(self) -> Self:
        self._view = await asyncio.to_thread(SweepView, self.folder)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    async def messages(self) -> AsyncIterator[Message | Columns]:
        """Yield the state every second, until all points are over."""
        before: SweepState | None = None
        while True:
            try:
                state = await asyncio.to_thread(self._view.look)
            except SweepFolderError as error:
                if before is None:
                    raise
                state = msgspec.structs.replace(before, error=str(error))
            yield state
            name = {"finished": "ended", "stopped": "waiting"}.get(state.state, state.state)
            note = "" if state.state != "stopped" else "no process works on it; `inmateria sweep --resume` goes on"
            yield Status(state=name, error=state.error, note=note)
            over = state.done + state.failed
            yield Progress(phase="points" if state.what == "sweep" else "trials", done=over, of=state.of)
            if state.state == "finished" and not state.error:
                return
            before = state
            await asyncio.sleep(_EVERY)

    async def stop(self) -> None:
        """Raise: a sweep is stopped where it was started."""
        raise SubstrateError(f"{self.folder} is watched from its files, by which a sweep cannot be stopped")
