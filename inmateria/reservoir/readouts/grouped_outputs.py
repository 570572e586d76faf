"""Online readouts whose outputs share a state as long as their targets are known for the same samples."""

from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from inmateria.reservoir.readouts.online import FloatArray, OnlineReadout

Mask = npt.NDArray[np.bool_]
Arrays = tuple[npt.NDArray[Any], ...]


class GroupedReadout(OnlineReadout):
    """An online readout with a state for each group of outputs whose targets were always known together.

    When first one target is known and another is not, their group is split and its state copied, so that each output is
    learned as if it were alone. Groups are never joined again.
    """

    _OF_GROUP: ClassVar[tuple[str, ...]]
    """Names of the arrays of the state whose first axis is that of the groups."""

    _OF_OUTPUT: ClassVar[tuple[str, ...]]
    """Names of those whose first axis is that of the outputs."""

    _group: npt.NDArray[np.int64]
    """Group of each output, shape (outputs,)."""

    @abstractmethod
    def _move_group(
        self,
        read: FloatArray,
        learned: FloatArray,
        targets: FloatArray,
        known: Mask,
        state: Arrays,
        predicted: FloatArray,
    ) -> None:
        """Do as `_move` for the outputs of a group; their targets are known (samples,) together.

        The `state` has the group's part of each array in `_OF_GROUP`, then those in `_OF_OUTPUT`, to be written to.
        """

    def _move(self, read: FloatArray, learned: FloatArray, targets: FloatArray, predicted: FloatArray) -> None:
        known = ~np.isnan(targets)
        how_many = np.count_nonzero(known)
        if how_many == known.size:
            self._samples_learned = self._samples_learned + len(known)
        elif how_many:
            self._samples_learned = self._samples_learned + known.sum(axis=0)
            self._split_groups(known)
        count = self._count_groups()
        for group in range(count):
            of_group = tuple(getattr(self, name)[group] for name in self._OF_GROUP)
            of_outputs = tuple(getattr(self, name) for name in self._OF_OUTPUT)
            if count == 1:
                whole, together = np.ascontiguousarray(targets), np.ascontiguousarray(known[:, 0])
                self._move_group(read, learned, whole, together, of_group + of_outputs, predicted)
                continue
            members = np.flatnonzero(self._group == group)
            copies, told = tuple(each[members] for each in of_outputs), np.empty((len(read), len(members)))
            some, together = np.ascontiguousarray(targets[:, members]), np.ascontiguousarray(known[:, members[0]])
            try:
                self._move_group(read, learned, some, together, of_group + copies, told)
            finally:
                for array, values in zip(of_outputs, copies, strict=True):
                    array[members] = values
            predicted[:, members] = told

    def _count_groups(self) -> int:
        return len(getattr(self, self._OF_GROUP[0]))

    def _split_groups(self, known: Mask) -> None:
        if known.shape[1] == 1:
            return
        for group in range(self._count_groups()):
            members = np.flatnonzero(self._group == group)
            masks = known[:, members]
            if (masks == masks[:, :1]).all():
                continue
            of_member = np.unique(masks, axis=1, return_inverse=True)[1].ravel()
            before, new = self._count_groups(), int(of_member.max())
            for name in self._OF_GROUP:
                array = getattr(self, name)
                setattr(self, name, np.concatenate([array, np.repeat(array[group : group + 1], new, axis=0)]))
            apart = of_member > 0
            self._group = self._group.copy()
            self._group[members[apart]] = before - 1 + of_member[apart]
