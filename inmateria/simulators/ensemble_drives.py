"""The drive of an ensemble as the stimulus of each member."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from inmateria.substrate import Stimulus, StimulusRejected, SubstrateInfo

__all__ = ["stimuli_of"]


class _Member(Protocol):
    @property
    def info(self) -> SubstrateInfo: ...


def stimuli_of(
    drive: npt.ArrayLike, members: Sequence[_Member], step: float | None, *, inputs: str, member: str
) -> list[Stimulus]:
    """Return the stimulus of each member.

    Parameters
    ----------
    drive : array_like of float, shape (members, steps, inputs) or (steps, inputs)
        One drive for each member, or one for all.
    members : sequence
        Simulators with an ``info``.
    step : float, optional
        Duration of a step, s; that of each member by default.
    inputs, member : str
        Their names in errors.

    Raises
    ------
    StimulusRejected
        If the drive has another shape, or is outside the limits of a member.
    """
    given = np.asarray(drive, dtype=np.float64)
    if given.ndim == 2:
        given = np.broadcast_to(given, (len(members), *given.shape))
    if given.ndim != 3 or len(given) != len(members):
        raise StimulusRejected(
            f"the drive has shape {np.shape(drive)}",
            f"({len(members)}, steps, {inputs}) or (steps, {inputs})",
            f"give one drive to each {member}, or one to all",
        )
    return [each.info.stimulus(own, step) for each, own in zip(members, given, strict=True)]
