"""The contract of a source of the live page: what is shown, and how it is stopped."""

from collections.abc import AsyncIterator
from types import TracebackType
from typing import Protocol, Self

from inmateria.live.messages import Columns, Hello, Message

__all__ = ["Source"]


class Source(Protocol):
    """Something that is watched; an async context manager.

    Attributes
    ----------
    hello : Hello
        Description as far as it is known; valid once the source has been entered.
    """

    hello: Hello

    async def __aenter__(self) -> Self:
        """Open it; raises what `connect` or `open_recording` would if it is not there."""
        ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it; no task of it is left."""
        ...

    def messages(self) -> AsyncIterator[Message | Columns]:
        """Yield what is new, about 25 times a second and at least once a second while anything can still come.

        A source holds back nothing but what it yields next: if it is asked too late, it leaves out whole columns or
        joins them to longer ones, and says so in `Status`. It yields `Hello` when the description has changed,
        `Status` when that has. The server sends the latest `Hello`, `Status`, `Progress` and `Outputs` to viewers that
        come later. The iterator ends when nothing can come any more; its last `Status` then
        stays on the page. It is asked for once.
        """
        ...

    async def stop(self) -> None:
        """Emergency stop; called only if `hello.stops`, for a viewer that has the right to it.

        Raises
        ------
        SubstrateError
            If the stop was not confirmed.
        """
        ...
