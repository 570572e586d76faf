"""Channels of a substrate that learns: inputs, labels and ``learn``; nodes of its outputs and of its sources."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from inmateria.errors import SubstrateError
from inmateria.substrate import FloatArray, SubstrateInfo

__all__ = ["LearningChannels", "learning_channels"]

Columns = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class LearningChannels:
    """Columns of drive and signal of a substrate that learns.

    Parameters
    ----------
    info : SubstrateInfo
    inputs, labels : ndarray of int
        Columns of the drive with the inputs ``u00``, ... and the labels ``l00``, ..., V.
    learn : int
        Column of the drive with the factor on the rate.
    plus, minus : ndarray of int, shape (outputs,)
        Columns of the signal whose difference is each output, V; a minus of -1 is ground.
    sources, currents : ndarray of int, or None
        Columns of the signal with the voltage of each source, V, and the current out of it, A; None if the substrate
        does not state where its sources are.
    """

    info: SubstrateInfo
    inputs: Columns
    labels: Columns
    learn: int
    plus: Columns
    minus: Columns
    sources: Columns | None
    currents: Columns | None

    def input_limits(self) -> tuple[FloatArray, FloatArray]:
        """Return the lowest and highest voltage of each input, V."""
        return self._limits(self.inputs)

    def label_limits(self) -> tuple[FloatArray, FloatArray]:
        """Return the lowest and highest voltage of each label, V."""
        return self._limits(self.labels)

    def _limits(self, columns: Columns) -> tuple[FloatArray, FloatArray]:
        channels = [self.info.inputs[column] for column in columns]
        return np.array([each.low for each in channels]), np.array([each.high for each in channels])

    def drive(
        self, inputs: FloatArray, labels: FloatArray | None = None, learn: FloatArray | None = None
    ) -> FloatArray:
        """Return a drive (samples, channels) of inputs (samples, features), in V; other channels are at rest.

        Parameters
        ----------
        inputs : ndarray, shape (samples, features)
            For the first inputs.
        labels : ndarray, shape (samples, outputs), optional
        learn : ndarray, shape (samples,), optional
        """
        drive = self.info.rest_drive(len(inputs))
        drive[:, self.learn] = 0.0 if learn is None else learn
        drive[:, self.inputs[: inputs.shape[1]]] = inputs
        if labels is not None:
            drive[:, self.labels] = labels
        return drive

    def outputs(self, signal: FloatArray) -> FloatArray:
        """Return the outputs, V, of a signal (..., channels), shape (..., outputs)."""
        below = np.where(self.minus < 0, 0.0, signal[..., self.minus])
        found: FloatArray = signal[..., self.plus] - below
        return found

    def power(self, signal: FloatArray) -> FloatArray:
        """Return the power that the sources give in each sample of a signal, W; NaN where it is not known."""
        if self.sources is None or self.currents is None:
            return np.full(signal.shape[:-1], np.nan)
        total: FloatArray = np.einsum("...k,...k->...", signal[..., self.sources], signal[..., self.currents])
        return total


def learning_channels(info: SubstrateInfo) -> LearningChannels:
    """Find the channels of a substrate that learns by itself.

    It has the inputs ``u00``, ... (V), the labels ``l00``, ... (V) and ``learn`` (1). Its outputs are ``o00``, ...
    (V), one for each label; or ``v00``, ... (V), one for each node, and its parameters hold the nodes of the outputs,
    ``outputs``, such as ``"10-0,7"`` for a difference and a single node. If they also hold those of ``inputs`` and
    ``rails``, and it has the currents ``i00``, ... (A) of all of these, the energy of its sources is known.

    Raises
    ------
    SubstrateError
        If the substrate is of another kind, or does not state where its outputs are.
    """
    inputs, outputs = ([channel.name for channel in side] for side in (info.inputs, info.outputs))
    driven, labels = (_numbered(letter, inputs) for letter in "ul")
    read, nodes, currents = (_numbered(letter, outputs) for letter in "ovi")
    if not (driven and labels and (read or nodes) and "learn" in inputs and info.sampling_rate is not None):
        raise SubstrateError(
            f"{info.id} is of the kind {info.kind} and has the inputs {_some(inputs)} and the outputs {_some(outputs)}",
            "a substrate that learns by itself has inputs u00, ..., labels l00, ... and learn, and outputs o00, ... or "
            "v00, ...",
            "give a ContrastiveNetwork, clln://, or a device with these channels; other substrates compute behind "
            "PhysicalReservoir with a readout",
        )
    plus, minus = np.array(list(read.values()), dtype=np.intp), np.full(len(read), -1)
    try:
        if len(read) != len(labels):
            plus, minus = _output_nodes(info, nodes, len(labels))
    except (KeyError, TypeError, ValueError) as error:
        raise SubstrateError(
            f"{info.id} does not state which voltages are its outputs ({error})",
            "there is an output o00, ... for each label, or the parameter 'outputs' is text with a node or a pair "
            "plus-minus for each, such as '10-0,7'",
            "add it to the device's info",
        ) from None
    sources: Columns | None
    try:
        of_sources = [int(word) for word in _words(info.parameters["inputs"])]
        of_sources += [int(word.partition(":")[0]) for word in _words(info.parameters["rails"])]
        sources = np.array([nodes[node] for node in of_sources], dtype=np.intp)
        flows = np.array([currents[k] for k in range(len(sources))], dtype=np.intp)
    except (KeyError, TypeError, ValueError):
        sources = None
    return LearningChannels(
        info, np.array(list(driven.values())), np.array(list(labels.values())), inputs.index("learn"), plus, minus,
        sources, None if sources is None else flows,
    )  # fmt: skip


def _output_nodes(info: SubstrateInfo, nodes: dict[int, int], count: int) -> tuple[Columns, Columns]:
    """Return the columns of the plus and minus node of each output, from the parameters."""
    pairs = [_pair(word) for word in _words(info.parameters["outputs"])]
    if len(pairs) != count:
        raise ValueError(f"{count} labels and {len(pairs)} outputs")
    plus = np.array([nodes[a] for a, _ in pairs], dtype=np.intp)
    return plus, np.array([-1 if b is None else nodes[b] for _, b in pairs], dtype=np.intp)


def _numbered(letter: str, names: list[str]) -> dict[int, int]:
    """Return the positions of channels named by a letter and a number, by their number, in its order."""
    found = {int(name[1:]): place for place, name in enumerate(names) if re.fullmatch(letter + r"\d+", name)}
    return dict(sorted(found.items()))


def _words(given: Any) -> list[str]:
    return [word.strip() for word in str(given).split(",") if word.strip()]


def _pair(word: str) -> tuple[int, int | None]:
    plus, mark, minus = word.partition("-")
    return int(plus), int(minus) if mark else None


def _some(names: list[str]) -> str:
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
