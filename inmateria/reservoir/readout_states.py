"""The state of a fitted readout as a tree of plain values and arrays, and back, with every shape checked.

Nothing but the classes listed here can be made from a tree, and a state is taken only if it has just the attributes
that the class has when it is fitted, each of the kind, type and shape that belongs to it: compiled kernels do not check
their indices.
"""

import math
from collections.abc import Callable
from functools import cache
from importlib import import_module
from inspect import signature
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["ReadoutFileError", "checked_state", "readout_from_tree", "tree_from_readout"]

Array = npt.NDArray[Any]

_READOUTS = {
    "FORCEReadout": "inmateria.reservoir.readouts.force",
    "KalmanReadout": "inmateria.reservoir.readouts.kalman",
    "LMSReadout": "inmateria.reservoir.readouts.least_mean_squares",
    "RecursiveLeastSquares": "inmateria.reservoir.readouts.recursive_least_squares",
    "RecursiveLeastSquaresClassifier": "inmateria.reservoir.readouts.recursive_least_squares",
    "RidgeClassifierReadout": "inmateria.reservoir.readouts.ridge",
    "RidgeReadout": "inmateria.reservoir.readouts.ridge",
    "ShiftLMSReadout": "inmateria.reservoir.readouts.shift_least_mean_squares",
    "StandardScaler": "sklearn.preprocessing",
    "TernaryClassifierReadout": "inmateria.reservoir.readouts.ternary",
    "TernaryReadout": "inmateria.reservoir.readouts.ternary",
}
_PARTS = {
    "KeptSamples": "inmateria.reservoir.readouts.kept_samples",
    "Moments": "inmateria.reservoir.readouts.moments",
    "Solution": "inmateria.reservoir.readouts.ridge_path",
}

_SHAPES: dict[str, tuple[str, ...]] = {
    # Of all readouts. A name that occurs twice, in any attributes, must be of one size.
    "classes_": ("classes",),
    "feature_names_in_": ("features",),
    # Of ternary readouts and scalers.
    "planes_": ("planes outputs features",),
    "scales_": ("planes outputs",),
    "coef_": ("features", "outputs features"),
    "intercept_": ("outputs",),
    "mean_": ("features",),
    "var_": ("features",),
    "scale_": ("features",),
    "n_samples_seen_": ("features",),
    # Of online readouts; a row has a width of the features and a constant, rounded up to a multiple of eight.
    "_weights": ("samples", "outputs width"),
    "_waiting": ("delay width",),
    "_inverse": ("width width",),
    "_seen": ("width", "groups width"),
    "_scale_and_walk": ("2",),
    "_ranges": ("3",),
    "_group": ("outputs",),
    "_samples_learned": ("outputs",),
    "_flags": ("groups 4",),
    "_origin": ("groups width",),
    "_unit": ("groups width width",),
    "_covariance": ("groups width width",),
    "_remainder": ("groups width width",),
    "_rotated": ("outputs width",),
    "_status": ("groups 2",),
    "_vectors": ("groups 4 width",),
    "_levels": ("outputs 2",),
    # Of ridge readouts: moments, samples and solutions.
    "x_mean": ("features",),
    "x_sum": ("features",),
    "y_mean": ("outputs",),
    "_x_rest": ("features",),
    "_y_rest": ("outputs",),
    "_triangle": ("features features",),
    "cross": ("features outputs",),
    "total": ("outputs",),
    "_X": ("samples features",),
    "_Y": ("samples outputs",),
    "_counts": ("samples",),
    "coef": ("outputs features",),
    "intercept": ("outputs",),
    "scores": ("scores",),
    "_asked": ("asked",),
    # Parameters.
    "alphas": ("alphas",),
}
_SIZES = {"n_features_in_": "features", "_features": "features", "features": "features", "_outputs": "outputs",
          "outputs": "outputs", "delay": "delay", "planes": "planes"}  # fmt: skip
"""Numbers that state a size."""

_TYPES: dict[str, tuple[str, ...]] = {
    "classes_": ("b", "i", "u", "f", "U"),
    "feature_names_in_": ("U",),
    "planes_": ("int8",),
    "_group": ("int64",),
    "_samples_learned": ("int64",),
    "n_samples_seen_": ("int64",),
    "_X": ("float32", "float64"),
    "alphas": ("f", "i"),
}
"""Types of arrays, or their kinds; float64 for all others."""

_OTHER_KINDS: dict[str, tuple[str, ...]] = {
    "_solution": ("none", "Solution"),
    "_data": ("Moments", "KeptSamples"),
    "coef": ("none", "array of 2 axes"),
    "coef_": ("array of 1 axes", "array of 2 axes"),
    "intercept_": ("number", "array of 1 axes"),
    "mean_": ("none", "array of 1 axes"),
    "var_": ("none", "array of 1 axes"),
    "scale_": ("none", "array of 1 axes"),
    "n_samples_seen_": ("number", "array of 1 axes"),
}
"""Kinds of an attribute that differ from one fit to another; otherwise the kind of a small fitted readout's."""

_TERNARY = {
    "planes_": "array of 3 axes",
    "scales_": "array of 2 axes",
    "coef_": "array of 2 axes",
    "intercept_": "array of 1 axes",
}


class ReadoutFileError(ValueError):
    """A readout cannot be written to a file, or a file is not that of a readout, or damaged."""


def tree_from_readout(readout: Any, keep: Callable[[Array], str]) -> dict[str, Any]:
    """Return the state of a fitted readout as a tree that JSON can hold.

    Parameters
    ----------
    readout : estimator
        Of a class of this package, a `StandardScaler`, or a pipeline of these.
    keep : callable
        Called with each array; returns the name under which it is kept.

    Raises
    ------
    ReadoutFileError
        If it is of another class, not fitted, or has a state that cannot be kept.
    """
    name = type(readout).__name__
    if name == "Pipeline":
        return {"class": name, "steps": [[step, tree_from_readout(each, keep)] for step, each in readout.steps]}
    if name not in _READOUTS or type(readout) is not _class_named(name):
        raise ReadoutFileError(
            f"a {type(readout).__module__}.{name} cannot be kept in a file; these can: {', '.join(sorted(_READOUTS))}, "
            "and pipelines of them"
        )
    checked_state(readout)
    return {"class": name, "state": {key: _written(value, keep) for key, value in vars(readout).items()}}


def readout_from_tree(tree: Any, kept: Callable[[str], Array]) -> Any:
    """Return the readout that `tree_from_readout` wrote.

    Parameters
    ----------
    tree : dict
    kept : callable
        From the name of an array to the array, which the readout may change.

    Raises
    ------
    ReadoutFileError
        If the tree is not that of a fitted readout.
    """
    if not isinstance(tree, dict) or not isinstance(tree.get("class"), str):
        raise ReadoutFileError("the state of the readout has no class")
    name = tree["class"]
    if name == "Pipeline":
        from sklearn.pipeline import Pipeline

        steps = [(str(step), readout_from_tree(each, kept)) for step, each in tree["steps"]]
        widths = {each.n_features_in_ for _, each in steps}
        if not steps or len(widths) != 1 or not all(hasattr(each, "transform") for _, each in steps[:-1]):
            raise ReadoutFileError("the steps of the pipeline do not fit together")
        return Pipeline(steps)
    if name not in _READOUTS:
        raise ReadoutFileError(f"a file states a readout of class {name!r}; there is no such class in this version")
    state = {key: _read(value, kept) for key, value in tree["state"].items()}
    made = _class_named(name)
    readout = made.__new__(made)
    vars(readout).update(state)
    checked_state(readout)
    return readout


def checked_state(readout: Any) -> None:
    """Check that a readout has the attributes of a fitted one, of the right kinds and shapes.

    Raises
    ------
    ReadoutFileError
        With the first attribute that is wrong.
    """
    name, state = type(readout).__name__, vars(readout)
    expected = _kinds(name)
    if "n_features_in_" not in state:
        raise ReadoutFileError(f"the {name} is not fitted; fit it first")
    sizes: dict[str, int] = {}
    for key, value in state.items():
        if (size := _SIZES.get(key)) is not None and _kind(value) == "number":
            _same_size(sizes, size, value, key)
    sizes["width"] = -(-(sizes.get("features", 0) + 1) // 8) * 8
    _check_attributes(name, state, expected, sizes)
    classes, outputs = sizes.get("classes"), sizes.get("outputs")
    if classes is not None and outputs is not None and outputs != classes and (outputs, classes) != (1, 2):
        raise ReadoutFileError(f"the readout has {classes} classes and {outputs} outputs")
    group = state.get("_group")
    if group is not None and (group.min() < 0 or group.max() >= sizes["groups"]):
        raise ReadoutFileError("the readout has outputs of groups that it does not have")


def _check_attributes(owner: str, state: dict[str, Any], expected: dict[str, str], sizes: dict[str, int]) -> None:
    if set(state) - {"feature_names_in_"} != set(expected):
        wrong = sorted(set(expected) ^ (set(state) - {"feature_names_in_"}))
        raise ReadoutFileError(
            f"the {owner} has not the attributes of a fitted one of this version ({', '.join(wrong)} differ); fit it "
            "first"
        )
    for key, value in state.items():
        kind = _kind(value)
        if key in expected and kind not in _OTHER_KINDS.get(key, (expected[key],)) and not _is_parameter(owner, key):
            raise ReadoutFileError(f"{key} of the {owner} is {kind}; it must be {expected[key]}")
        if kind in _PARTS:
            parts = vars(value)
            for part, size in parts.items():
                if part in _SIZES:
                    _same_size(sizes, _SIZES[part], size, part)
            _check_attributes(kind, parts, _kinds(kind), sizes)
            if kind == "KeptSamples" and not 0 <= value.count <= len(parts["_X"]):
                raise ReadoutFileError(f"the readout keeps {value.count} samples in room for {len(parts['_X'])}")
        for array in value if kind == "tuple" else (value,):
            if isinstance(array, np.ndarray):
                _check_array(key, array, sizes)


def _check_array(key: str, array: Array, sizes: dict[str, int]) -> None:
    shapes = [shape.split() for shape in _SHAPES.get(key, ()) if len(shape.split()) == array.ndim]
    if not shapes:
        raise ReadoutFileError(f"{key} of a readout is an array of {array.ndim} axes, which the format does not know")
    allowed = _TYPES.get(key, ("float64",))
    text = key in ("classes_", "feature_names_in_") and _is_text(array)
    if not text and array.dtype.name not in allowed and array.dtype.kind not in allowed:
        raise ReadoutFileError(f"{key} of a readout is of type {array.dtype}; it must be one of {', '.join(allowed)}")
    for symbol, size in zip(shapes[0], array.shape, strict=True):
        _same_size(sizes, symbol, size, key)


def _same_size(sizes: dict[str, int], symbol: str, size: Any, key: str) -> None:
    if isinstance(size, bool | np.bool_) or not isinstance(size, int | np.integer) or size < 0:
        raise ReadoutFileError(f"{key} of a readout is {size!r}; it must be a number of {symbol}")
    known = int(symbol) if symbol.isdigit() else sizes.setdefault(symbol, int(size))
    if known != size:
        raise ReadoutFileError(f"{key} of a readout is of {size} {symbol}, other attributes are of {known}")


def _class_named(name: str) -> Any:
    try:
        return getattr(import_module({**_READOUTS, **_PARTS}[name]), name)
    except ImportError:
        raise ReadoutFileError(f"the readout has a part of class {name!r}, which this version does not have") from None


@cache
def _kinds(name: str) -> dict[str, str]:
    """Return the kind of each attribute of a small fitted readout, or of a part of one."""
    made = _class_named(name)
    if name in _PARTS:
        if name == "Solution":
            shapes = {key: _SHAPES.get(key) for key in signature(made).parameters}
            return {key: f"array of {len(each[0].split())} axes" if each else "number" for key, each in shapes.items()}
        return {key: _kind(value) for key, value in vars(made(1, 1)).items()}
    readout = made()
    if name.startswith("Ternary"):  # without a fit, for which kernels would be compiled
        kinds = {key: _kind(value) for key, value in vars(readout).items()} | {"n_features_in_": "number"}
        return kinds | _TERNARY | ({"classes_": "array of 1 axes"} if "Classifier" in name else {})
    if hasattr(readout, "begin"):
        readout.begin(2)
    elif hasattr(readout, "classes_") or "Classifier" in name:
        readout.partial_fit([[0.0, 1.0]], [0], classes=[0, 1])
    else:
        readout.partial_fit([[0.0, 1.0]], [0.0])
    return {key: _kind(value) for key, value in vars(readout).items()}


def _is_parameter(owner: str, key: str) -> bool:
    return owner in _READOUTS and key in _class_named(owner)._get_param_names()


def _kind(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool | np.bool_ | int | float | np.number):
        return "number"
    if isinstance(value, np.ndarray):
        return f"array of {value.ndim} axes"
    for kind, types in (("text", str), ("tuple", tuple), ("list", list), ("dict", dict)):
        if isinstance(value, types):
            return kind
    return type(value).__name__


def _is_text(array: Array) -> bool:
    return array.dtype == object and all(type(each) is str for each in array.ravel().tolist())


def _written(value: Any, keep: Callable[[Array], str]) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, float):
        return {"float": repr(value)}
    if isinstance(value, np.ndarray):
        if _is_text(value) and value.ndim == 1:
            return {"texts": value.tolist()}
        if value.dtype.kind not in "biufU":
            raise ReadoutFileError(f"an array of type {value.dtype} cannot be kept in a file; give numbers or text")
        return {"array": keep(value)}
    if isinstance(value, tuple | list):
        return {type(value).__name__: [_written(each, keep) for each in value]}
    if isinstance(value, dict):
        return {"dict": [[_written(key, keep), _written(each, keep)] for key, each in value.items()]}
    name = type(value).__name__
    if name in _PARTS and type(value) is _class_named(name):
        return {"part": name, "state": {key: _written(each, keep) for key, each in vars(value).items()}}
    raise ReadoutFileError(f"{value!r} cannot be kept in a file; parameters must be numbers, text or sequences of them")


def _read(tree: Any, kept: Callable[[str], Array]) -> Any:
    if tree is None or isinstance(tree, bool | int | float | str):
        return tree
    if isinstance(tree, dict) and tree:
        match next(iter(tree.items())):
            case "float", "nan" | "inf" | "-inf" as text:
                return float(text)
            case "array", str() as name:
                return kept(name)
            case "texts", list() as texts if all(isinstance(each, str) for each in texts):
                return np.array(texts, dtype=object)
            case "tuple", list() as parts:
                return tuple(_read(each, kept) for each in parts)
            case "list", list() as parts:
                return [_read(each, kept) for each in parts]
            case "dict", list() as pairs:
                return {_read(key, kept): _read(each, kept) for key, each in pairs}
            case "part", str() as name if name in _PARTS:
                made = _class_named(name)
                part = made.__new__(made)
                vars(part).update({key: _read(each, kept) for key, each in tree["state"].items()})
                return part
    raise ReadoutFileError("the state of the readout has a value that the format does not know")
