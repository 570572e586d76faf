"""Readouts as ONNX models: one matrix product, and the largest output of a classifier."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["write_onnx"]

_OPERATORS = 17
"""Version of the operators: the oldest that onnxruntime of the last years and other runtimes all know."""


def write_onnx(
    coef: npt.ArrayLike, intercept: npt.ArrayLike, classes: npt.NDArray[Any] | None, path: Path, *, flat: bool = False
) -> Path:
    """Write a model with the input ``features`` (samples, features), double precision, and the output ``outputs``.

    That of a classifier also has the output ``label`` (samples,), whole numbers or text as its classes are.

    Parameters
    ----------
    coef : array_like of float, shape (outputs, features)
    intercept : array_like of float, shape (outputs,)
    classes : ndarray, shape (classes,), or None
    path : Path
        Of the model, by custom NAME.onnx.
    flat : bool
        Whether ``outputs`` has one axis: (samples,).

    Raises
    ------
    ImportError
        If onnx is not installed.
    """
    try:
        from onnx import TensorProto, checker, helper, numpy_helper, save_model
    except ImportError:
        raise ImportError("ONNX models need onnx; pip install 'inmateria[onnx]'") from None
    weights = np.atleast_2d(np.asarray(coef, dtype=np.float64))
    constant = np.atleast_1d(np.asarray(intercept, dtype=np.float64))
    constants = [numpy_helper.from_array(np.ascontiguousarray(weights.T), "weights")]
    constants.append(numpy_helper.from_array(constant, "intercepts"))
    nodes = [
        helper.make_node("MatMul", ["features", "weights"], ["products"]),
        helper.make_node("Add", ["products", "intercepts"], ["all"]),
    ]
    if flat or (classes is not None and len(weights) == 1):
        constants.append(numpy_helper.from_array(np.array([1], dtype=np.int64), "axis"))
        nodes.append(helper.make_node("Squeeze", ["all", "axis"], ["outputs"]))
        shape: list[Any] = ["samples"]
    else:
        nodes.append(helper.make_node("Identity", ["all"], ["outputs"]))
        shape = ["samples", len(weights)]
    results = [helper.make_tensor_value_info("outputs", TensorProto.DOUBLE, shape)]
    if classes is not None:
        if len(weights) == 1:
            constants.append(numpy_helper.from_array(np.zeros(1), "zero"))
            nodes.append(helper.make_node("Greater", ["outputs", "zero"], ["above"]))
            nodes.append(helper.make_node("Cast", ["above"], ["index"], to=TensorProto.INT64))
        else:
            nodes.append(helper.make_node("ArgMax", ["outputs"], ["index"], axis=1, keepdims=0))
        labels, kind = _labels(classes)
        constants.append(numpy_helper.from_array(labels, "classes"))
        nodes.append(helper.make_node("Gather", ["classes", "index"], ["label"]))
        results.append(helper.make_tensor_value_info("label", getattr(TensorProto, kind), ["samples"]))
    graph = helper.make_graph(
        nodes, "readout",
        [helper.make_tensor_value_info("features", TensorProto.DOUBLE, ["samples", weights.shape[1]])],
        results, constants,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPERATORS)], producer_name="inmateria")
    model.ir_version = 8  # of the same age as the operators
    checker.check_model(model, full_check=True)
    save_model(model, str(path))
    return path


def _labels(classes: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], str]:
    if classes.dtype == np.bool_:
        return classes, "BOOL"
    if np.issubdtype(classes.dtype, np.integer):
        return classes.astype(np.int64), "INT64"
    if np.issubdtype(classes.dtype, np.floating):
        return classes.astype(np.float64), "DOUBLE"
    return np.array([str(label) for label in classes.tolist()], dtype=object), "STRING"
