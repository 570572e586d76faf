"""Stims of one to three phases as charge-balanced pulses of two, which is what a simulated culture takes."""

from collections.abc import Sequence

__all__ = ["RECOVERY", "balanced_pulses"]

RECOVERY = 5e-3
"""Duration of the weak opposite phase that takes back what the phases of a stim leave behind, s."""

_NOTHING = 1e-18  # C; a hundredth of the least charge of a phase is 2e-14

Piece = tuple[float, float, float, float, float]


def balanced_pulses(durations: Sequence[float], currents: Sequence[float]) -> list[Piece]:
    """Split the phases of a stim into pulses of two phases of equal and opposite charge, one after the other.

    Together the pulses are the stim's current at every time: a triphasic stim whose phases balance is two pulses, the
    second beginning within its middle phase. What phases leave behind is taken back as an amplifier's charge recovery
    does it: by a weak phase of `RECOVERY`, directly after them. Stimulators do that passively; what a charge that stays
    does to cells and electrodes is not simulated.

    Parameters
    ----------
    durations : sequence of float
        Of each phase, s.
    currents : sequence of float
        A; 0 for a gap.

    Returns
    -------
    list of (start, amplitude, duration, second_amplitude, second_duration)
        The start is in s after that of the stim; currents are in A, durations in s.
    """
    pieces: list[Piece] = []
    start = 0.0  # of the pending phase
    pending: tuple[float, float] | None = None  # its current and duration
    at = 0.0
    for duration, current in zip(durations, currents, strict=True):
        end = at + duration
        if pending is not None and (current == 0.0 or (current > 0) == (pending[0] > 0)):
            pieces.append(_recovered(start, *pending))
            pending = None
        if current == 0.0:
            at = end
            continue
        if pending is None:
            start, pending, at = at, (current, duration), end
            continue
        amplitude, length = pending
        charge, opposite = abs(amplitude) * length, abs(current) * duration
        if charge - opposite > _NOTHING:  # only the last part of the phase is balanced
            early = (charge - opposite) / abs(amplitude)
            pieces.append(_recovered(start, amplitude, early))
            start, length, charge = start + early, length - early, opposite
        second = min(duration, charge / abs(current))
        pieces.append((start, amplitude, length, current, second))
        rest = duration - second
        pending = (current, rest) if rest * abs(current) > _NOTHING else None
        start, at = at + second, end
    if pending is not None:
        pieces.append(_recovered(start, *pending))
    return pieces


def _recovered(start: float, amplitude: float, duration: float) -> Piece:
    return start, amplitude, duration, -amplitude * duration / RECOVERY, RECOVERY
