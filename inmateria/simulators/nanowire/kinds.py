"""Junctions of several kinds: models that differ in some parameters, packed for the compiled step."""

import dataclasses
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from inmateria.simulators.nanowire.junction_table import CONDUCTANCE, STATE
from inmateria.simulators.nanowire.models import JunctionModel
from inmateria.simulators.nanowire.parameters import JunctionValues, one_each
from inmateria.simulators.parameters import suggestion

FloatArray = npt.NDArray[np.float64]


class Kinds(NamedTuple):
    """Kinds of junctions.

    Parameters
    ----------
    models : tuple of JunctionModel
        Each kind's model.
    members : tuple of ndarray of int
        Junctions of each kind.
    """

    models: tuple[JunctionModel, ...]
    members: tuple[npt.NDArray[np.intp], ...]

    @property
    def constants(self) -> FloatArray:
        """Packed constants of all kinds, one after another."""
        return np.concatenate([np.asarray(model.packed(), dtype=np.float64) for model in self.models])

    def packed(self) -> npt.NDArray[np.uint32]:
        """Return the lists of junctions as `kernel.evolve_kinds` reads them; empty for one kind."""
        if len(self.models) == 1:
            return np.empty(0, dtype=np.uint32)
        begin = 2 + len(self.models) + np.cumsum([0, *map(len, self.members)])
        return np.concatenate(([len(self.models)], begin, *self.members)).astype(np.uint32)

    def of_each(self, attribute: str, default: Any = None) -> FloatArray:
        """Return an attribute of every junction's model, shape (junctions,)."""
        values = np.empty(sum(map(len, self.members)))
        for model, members in zip(self.models, self.members, strict=True):
            values[members] = getattr(model, attribute, default)
        return values


def kinds_of(model: JunctionModel, values: JunctionValues, count: int) -> Kinds:
    """Return the kinds of so many junctions.

    Raises
    ------
    ValueError
        If the model has no parameter of a name, or a value is out of range, or there are more or fewer than junctions.
    """
    if not values.parameters:
        return Kinds((model,), (np.arange(count),))
    allowed = [field.name for field in dataclasses.fields(model)]  # type: ignore[arg-type]
    strange = [name for name in values.parameters if name not in allowed]
    if strange:
        meant = suggestion(strange[0], allowed)
        raise ValueError(
            f"{type(model).__name__} has no {strange[0]}; it has {', '.join(allowed)}" + (f"; {meant}" if meant else "")
        )
    names = list(values.parameters)
    columns = [
        one_each(f"junction_values.parameters of {name}", values.parameters[name], count, "junctions") for name in names
    ]
    rows, kind = np.unique(np.column_stack(columns), axis=0, return_inverse=True)
    kind = kind.ravel()
    models = []
    for number, row in enumerate(rows):
        try:
            changes = dict(zip(names, row.tolist(), strict=True))
            models.append(dataclasses.replace(model, **changes))  # type: ignore[type-var]
        except ValueError as error:
            raise ValueError(f"junction {int(np.argmax(kind == number))}: {error}") from None
    order = np.argsort(kind, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(kind, minlength=len(rows)))[:-1])
    return Kinds(tuple(models), tuple(members))


def check_initial(initial: FloatArray, junctions: FloatArray, strongest: FloatArray) -> None:
    """Refuse initial states that the model does not keep, or that conduct more than it can.

    Parameters
    ----------
    initial : ndarray, shape (junctions,)
    junctions : ndarray
        Table of the junctions after a reset.
    strongest : ndarray, shape (junctions,)
        Largest conductances, S.

    Raises
    ------
    ValueError
    """
    state, conductance = junctions[STATE], junctions[CONDUCTANCE]
    changed = np.flatnonzero(state != initial)
    if changed.size:
        j = changed[0]
        raise ValueError(
            f"initial_state of junction {j} is {initial[j]:g}, which its model changes to {state[j]:g} in no time; "
            "give a state within its range"
        )
    strange = np.flatnonzero(~((conductance >= 0) & (conductance <= strongest * (1 + 1e-9))))
    if strange.size:
        j = strange[0]
        raise ValueError(
            f"initial_state of junction {j} is {initial[j]:g}, so that it conducts {conductance[j]:g} S; its model "
            f"allows 0 to {strongest[j]:g} S"
        )
