"""Functions passed to a compiled kernel by their address, so that one cached kernel serves models of any class.

numba can pass functions itself, but compiles the caller again for each, and does not cache the result. An address is
only a number: the kernel is compiled once, each model's function once, and a call costs some nanoseconds.
"""

import functools
from collections.abc import Callable
from typing import Any

import numba
from numba.core import types
from numba.extending import intrinsic

from inmateria.kernel_compilation import log_compilation, recompile_with, without_reference_counts

_intrinsic: Any = intrinsic  # typed as a plain function, which it is not: it takes one argument less
_NUMBERS = types.float64[::1]
_PLACES = types.Array(types.uint32, 1, "C", readonly=False)

EVOLVE = types.void(_NUMBERS, types.float64, types.float64, types.float64[:, ::1])
"""Signature for one network: constants, step (s), sign of the summed input voltages, the table of junctions."""

EVOLVE_LANES = types.void(
    _NUMBERS, types.float64, _PLACES, _PLACES, _NUMBERS, types.boolean, types.float64[:, ::1], _PLACES
)
"""Signature for sixteen: constants, step, places of both ends of each junction, voltages, whether junctions are alike,
the table of junctions, and scratch for a number of each."""

SOLVE = types.void(_PLACES, types.float64[:, ::1], _NUMBERS)
"""Signature of a solver: the packed plan, the table of junctions, and the array of nodes with all scratch."""

_kept: list[Any] = []  # a compiled function lives as long as its dispatcher


@functools.cache
def address_of(function: Callable[..., None], signature: Any, *sources: str) -> int:
    """Compile a function, unless the cache has it, and return its address.

    Parameters
    ----------
    function : callable
        In the subset of Python that numba compiles; returns nothing.
    signature
        `EVOLVE`, `EVOLVE_LANES` or `SOLVE`.
    *sources : str
        Modules, besides the function's own, whose change makes the cached code out of date.

    Raises
    ------
    numba.core.errors.TypingError
        If it cannot be compiled with these arguments.
    """
    options: dict[str, Any] = {"error_model": "numpy", "nogil": True}
    # Cached code is found again by its module, name and line, which two lambdas of one line share.
    named = "<lambda>" not in function.__qualname__
    options["cache"] = named and function.__module__ is not None
    if signature is not EVOLVE_LANES:
        options["fastmath"] = {"contract", "nsz"}
    if str(function.__module__).startswith(f"{__package__}.evolution"):  # models of one's own may make arrays
        options |= without_reference_counts()
    try:
        compiled = recompile_with(numba.njit(**options)(function), *sources)
    except RuntimeError:  # typed into an interpreter: there is no file to keep the cache beside
        compiled = numba.njit(**{**options, "cache": False})(function)
    with log_compilation(f"the junction model {function.__name__}"):
        compiled.compile(signature.args)
    made = compiled.overloads[signature.args]
    _kept.append(compiled)
    return int(made.library.get_pointer_to_function(made.fndesc.llvm_func_name))


def _calling(signature: Any) -> Any:
    def call(typing: Any, address: Any, *arguments: Any) -> Any:
        def generate(context: Any, builder: Any, given: Any, values: Any) -> Any:
            kind = context.call_conv.get_function_type(signature.return_type, signature.args)
            callee = builder.inttoptr(values[0], kind.as_pointer())
            handed = [
                context.cast(builder, value, has, wants)
                for value, has, wants in zip(values[1:], given.args[1:], signature.args, strict=True)
            ]
            context.call_conv.call_function(builder, callee, signature.return_type, signature.args, handed)
            return context.get_dummy_value()

        return types.void(types.int64, *arguments), generate

    return call


@_intrinsic  # type: ignore[untyped-decorator]
def call_evolve(typing: Any, address: Any, constants: Any, step: Any, sign: Any, junctions: Any) -> Any:
    """Call an address that `address_of` returned for `EVOLVE`."""
    return _calling(EVOLVE)(typing, address, constants, step, sign, junctions)


@_intrinsic  # type: ignore[untyped-decorator]
def call_solve(typing: Any, address: Any, plan: Any, junctions: Any, nodes: Any) -> Any:
    """Call an address that `address_of` returned for `SOLVE`."""
    return _calling(SOLVE)(typing, address, plan, junctions, nodes)


@_intrinsic  # type: ignore[untyped-decorator]
def call_evolve_lanes(
    typing: Any,
    address: Any,
    constants: Any,
    step: Any,
    first: Any,
    second: Any,
    voltage: Any,
    alike: Any,
    junctions: Any,
    room: Any,
) -> Any:
    """Call an address that `address_of` returned for `EVOLVE_LANES`."""
    return _calling(EVOLVE_LANES)(typing, address, constants, step, first, second, voltage, alike, junctions, room)
