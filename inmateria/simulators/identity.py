"""The id of a simulator: a readable prefix, and a digest of everything that makes it different."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt


def simulator_id(prefix: str, parameters: Mapping[str, Any], **arrays: npt.NDArray[Any]) -> str:
    """Return ``prefix-digest``: equal for equal parameters, in any process and version of Python.

    The digest (48 bits of BLAKE2b) is of the parameters as canonical JSON, and of arrays by their shapes and bytes.

    Parameters
    ----------
    prefix : str
        For people, such as ``"nanowire-100-s42"``.
    parameters : mapping
        Values that JSON has: numbers, strings, booleans, None, and lists and mappings of them.
    **arrays : ndarray
        Of numbers, where parameters do not say everything.
    """
    digest = hashlib.blake2b(digest_size=6)
    digest.update(
        json.dumps(_canonical(parameters), sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")
    )
    for name, array in sorted(arrays.items()):
        kind = "<f8" if array.dtype.kind == "f" else "<i8"
        digest.update(f"\n{name} {kind} {array.shape}\n".encode("ascii"))
        digest.update(np.ascontiguousarray(array, dtype=kind).tobytes())
    return f"{prefix}-{digest.hexdigest()}"


def _canonical(value: Any) -> Any:
    if isinstance(value, float):
        return value + 0.0  # -0.0 is 0.0
    if isinstance(value, Mapping):
        return {str(key): _canonical(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_canonical(each) for each in value]
    return value
