"""The warning about steps of integration that are too long for the drive."""

import math
import warnings

from inmateria.simulators.nanowire.models import JunctionModel

_HUNDREDFOLD = 100.0  # change of a conductance in one step, of a model that does not say


class CoarseStepWarning(RuntimeWarning):
    """An integration step was so long that junctions went through most of their range of conductance in it.

    Voltages are solved with the conductances at the start of a step, so that they may be off by as much as the
    junctions that switch in it redistribute. Issued once for each network.
    """


def coarse_change(junction: JunctionModel) -> float:
    """Return the factor by which a conductance may change in one step without a look at the time constant."""
    return float(getattr(junction, "coarse_change", _HUNDREDFOLD))


def warn_of_coarse_steps(junction: JunctionModel, name: str, step: float, substeps: int, voltage: float) -> bool:
    """Warn if a step is longer than the time constant of a junction under the voltage that it felt.

    Parameters
    ----------
    junction : JunctionModel
    name : str
        Id of the network.
    step : float
        Duration of an integration step, s.
    substeps : int
        Parts in which it was solved.
    voltage : float
        Largest voltage felt by a junction whose conductance changed by more than `coarse_change` in a part, V.

    Returns
    -------
    bool
        Whether it warned.
    """
    part = step / substeps
    time_constant = getattr(junction, "time_constant", None)
    longest = part / 10 if time_constant is None else float(time_constant(voltage))
    if part <= longest:
        return False
    needed = f"substeps={math.ceil(step / longest)}, or " if longest > 0 and step / longest < 1e6 else ""
    warnings.warn(
        f"{name}: a step of {part:.3g} s is too long for this drive: in one step, junctions under {voltage:.3g} V "
        f"went through most of their range of conductance, so that voltages are off until the next step; steps of at "
        f"most {longest:.2g} s follow them; make the network with {needed}a shorter integration_step, or drive it with "
        "less (said once for each network)",
        CoarseStepWarning,
        stacklevel=4,
    )
    return True
