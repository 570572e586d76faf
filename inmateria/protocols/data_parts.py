"""Two parts of a task's data: one that reported scores test on, and one on which settings are chosen.

A run is of one part. The runner says of which, here, and everything that a task takes its data from follows: seeds, of
which those from 2**31 on are for choosing, and the data sets of `inmateria.protocols.data_sets`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, TypeVar, get_args

import msgspec

__all__ = ["CHOOSING_SEEDS", "Part", "checked_part", "data_of", "present_part", "settings_of_part"]

Part = Literal["test", "validation"]
"""``"test"``: what reported scores test on. ``"validation"``: what settings are chosen on."""

CHOOSING_SEEDS = 2**31
"""Seeds from here on are for choosing settings: seed k of a run for validation is this plus k."""

_S = TypeVar("_S", bound=msgspec.Struct)
_part: ContextVar[Part] = ContextVar("part", default="test")


def present_part() -> Part:
    """Return the part that the present run is of."""
    return _part.get()


@contextmanager
def data_of(part: Part) -> Iterator[None]:
    """Let everything in this context, and in tasks and threads that it starts, see the data of a part only."""
    token = _part.set(part)
    try:
        yield
    finally:
        _part.reset(token)


def checked_part(part: str) -> Part:
    """Return a part that was given as text.

    Raises
    ------
    ValueError
        If there is no such part.
    """
    for each in get_args(Part):
        if part == each:
            known: Part = each
            return known
    raise ValueError(f"part is {part!r}; allowed are {' and '.join(get_args(Part))}")


def settings_of_part(settings: _S, part: Part) -> _S:
    """Return the settings with which a run draws its data: for validation, with a seed that no reported run has.

    Raises
    ------
    ValueError
        If the seed is one of those for choosing settings.
    """
    seed = getattr(settings, "seed", None)
    if seed is None:
        return settings
    if seed >= CHOOSING_SEEDS:
        raise ValueError(
            f"seed is {seed}; seeds from {CHOOSING_SEEDS} on are those of runs for choosing settings: give a smaller "
            "one, and part=validation for such a run"
        )
    return settings if part == "test" else msgspec.structs.replace(settings, seed=CHOOSING_SEEDS + seed)
