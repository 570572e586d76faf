"""One check: a callable with a name, which pytest shows as the name of the parameter."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["Check"]


@dataclass(frozen=True)
class Check:
    """A check that makes a new object to test each time it runs.

    Parameters
    ----------
    run : callable
        Takes a function that makes the object to test; raises `AssertionError` if the check fails.
    name : str
        Property that is checked, as words joined by underscores.
    """

    run: Callable[[Callable[[], Any]], None]
    name: str

    def __call__(self, make: Callable[[], Any]) -> None:
        """Make the check."""
        self.run(make)

    @property
    def __name__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return self.name
