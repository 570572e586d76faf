"""Sixteen numbers in one value, for numba: a type lowered to vectors of LLVM, on any processor.

numba does not reliably vectorise loops in which every access is indirect. Here each operation on float64 is two
instructions of AVX-512, four of AVX, eight of NEON; on float32 half as many. An array of lanes is a flat one of either
type, sixteen numbers to an entry.
"""

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import types
from numba.extending import intrinsic, models, overload, register_model

LANES = 16

_intrinsic: Any = intrinsic  # typed as a plain function, which it is not: it takes one argument less
VECTOR = ir.VectorType(ir.DoubleType(), LANES)
SINGLE_VECTOR = ir.VectorType(ir.FloatType(), LANES)
_WORD = ir.IntType(64)
_LINE = 64  # bytes of a line of the cache
BITS = ir.VectorType(_WORD, LANES)
_SIGN = ir.Constant(BITS, [-(2**63)] * LANES)
_UNSIGNED = ir.Constant(BITS, [2**63 - 1] * LANES)


class LanesType(types.Type):
    """Type of sixteen float64."""

    def __init__(self) -> None:
        super().__init__(name=f"Lanes{LANES}")


class SingleLanesType(types.Type):
    """Type of sixteen float32."""

    def __init__(self) -> None:
        super().__init__(name=f"SingleLanes{LANES}")


lanes_type, single_lanes_type = LanesType(), SingleLanesType()


@register_model(LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, fe_type: Any) -> None:
        super().__init__(manager, fe_type, VECTOR)  # type: ignore[no-untyped-call]


@register_model(SingleLanesType)
class _SingleLanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, fe_type: Any) -> None:
        super().__init__(manager, fe_type, SINGLE_VECTOR)  # type: ignore[no-untyped-call]


def _of(array: Any) -> Any:
    """Return the type of the entries of an array of lanes."""
    return single_lanes_type if array.dtype == types.float32 else lanes_type


def _address(context: Any, builder: Any, array_type: Any, array: Any, index: Any, stride: int = LANES) -> Any:
    base = context.make_array(array_type)(context, builder, array).data
    wide = builder.zext(index, _WORD) if index.type.width < 64 else index
    vector = SINGLE_VECTOR if array_type.dtype == types.float32 else VECTOR
    return builder.bitcast(builder.gep(base, [builder.mul(wide, ir.Constant(_WORD, stride))]), vector.as_pointer())


@_intrinsic  # type: ignore[untyped-decorator]
def load(typing: Any, array: Any, entry: Any) -> Any:
    """Load the lanes of an entry."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value = builder.load(_address(context, builder, signature.args[0], *arguments))
        value.align = signature.args[0].dtype.bitwidth // 8
        return value

    return _of(array)(array, entry), generate


@_intrinsic  # type: ignore[untyped-decorator]
def store(typing: Any, array: Any, entry: Any, value: Any) -> Any:
    """Store the lanes of an entry."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        done = builder.store(arguments[2], _address(context, builder, signature.args[0], *arguments[:2]))
        done.align = signature.args[0].dtype.bitwidth // 8
        return context.get_dummy_value()

    return types.void(array, entry, value), generate


@_intrinsic  # type: ignore[untyped-decorator]
def fetch(typing: Any, array: Any, entry: Any) -> Any:
    """Let the lanes of an entry be brought into the first-level cache, to be written."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array_type = signature.args[0]
        byte = ir.IntType(8).as_pointer()
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        prefetch = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        address = builder.bitcast(_address(context, builder, array_type, *arguments), byte)
        for line in range(0, LANES * array_type.dtype.bitwidth // 8, _LINE):
            at = builder.gep(address, [ir.Constant(_WORD, line)])
            builder.call(prefetch, [at, *(ir.Constant(number, value) for value in (1, 3, 1))])
        return context.get_dummy_value()

    return types.void(array, entry), generate


@_intrinsic  # type: ignore[untyped-decorator]
def load_run(typing: Any, array: Any, first: Any) -> Any:
    """Load sixteen neighbours of a plain array, from the one of this index on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value = builder.load(_address(context, builder, signature.args[0], arguments[0], arguments[1], 1))
        value.align = 8
        return value

    return lanes_type(array, first), generate


@_intrinsic  # type: ignore[untyped-decorator]
def store_run(typing: Any, array: Any, first: Any, value: Any) -> Any:
    """Store sixteen neighbours of a plain array, from the one of this index on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        done = builder.store(arguments[2], _address(context, builder, signature.args[0], arguments[0], arguments[1], 1))
        done.align = 8
        return context.get_dummy_value()

    return types.void(array, first, value), generate


@_intrinsic  # type: ignore[untyped-decorator]
def splat(typing: Any, number: Any) -> Any:
    """Copy one float into all lanes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        first = builder.insert_element(ir.Constant(VECTOR, ir.Undefined), arguments[0], ir.Constant(ir.IntType(32), 0))
        same = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        return builder.shuffle_vector(first, ir.Constant(VECTOR, ir.Undefined), same)

    return lanes_type(types.float64), generate


@_intrinsic  # type: ignore[untyped-decorator]
def load_same(typing: Any, array: Any, index: Any) -> Any:
    """Load the number of this index of a plain array into all lanes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        base = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        index = arguments[1]
        wide = builder.zext(index, _WORD) if index.type.width < 64 else index
        number = builder.load(builder.gep(base, [wide]))
        first = builder.insert_element(ir.Constant(VECTOR, ir.Undefined), number, ir.Constant(ir.IntType(32), 0))
        same = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        return builder.shuffle_vector(first, ir.Constant(VECTOR, ir.Undefined), same)

    return lanes_type(array, index), generate


@_intrinsic  # type: ignore[untyped-decorator]
def to_single(typing: Any, value: Any) -> Any:
    """Round sixteen float64 to float32."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fptrunc(arguments[0], SINGLE_VECTOR)

    return single_lanes_type(value), generate


@_intrinsic  # type: ignore[untyped-decorator]
def to_double(typing: Any, value: Any) -> Any:
    """Widen sixteen float32 to float64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fpext(arguments[0], VECTOR)

    return lanes_type(value), generate


@_intrinsic  # type: ignore[untyped-decorator]
def choose(typing: Any, a: Any, b: Any, greater: Any, otherwise: Any) -> Any:
    """Choose, lane by lane, ``greater`` where a > b and ``otherwise`` elsewhere."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.select(builder.fcmp_ordered(">", *arguments[:2]), *arguments[2:])

    return lanes_type(a, b, greater, otherwise), generate


@_intrinsic  # type: ignore[untyped-decorator]
def any_differs_above(typing: Any, a: Any, b: Any, high: Any, low: Any) -> Any:
    """Return whether a and b differ and high > low in any lane."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        differs = builder.fcmp_unordered("!=", *arguments[:2])
        both = builder.and_(differs, builder.fcmp_ordered(">", *arguments[2:]))
        bits = builder.bitcast(both, ir.IntType(LANES))
        return builder.icmp_unsigned("!=", bits, ir.Constant(ir.IntType(LANES), 0))

    return types.boolean(a, b, high, low), generate


@_intrinsic  # type: ignore[untyped-decorator]
def signed(typing: Any, size: Any, sign: Any) -> Any:
    """Return ``size`` with the sign of ``sign``, lane by lane."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        size, sign = (builder.bitcast(argument, BITS) for argument in arguments)
        both = builder.or_(builder.and_(size, _UNSIGNED), builder.and_(sign, _SIGN))
        return builder.bitcast(both, VECTOR)

    return lanes_type(size, sign), generate


@_intrinsic  # type: ignore[untyped-decorator]
def scaled(typing: Any, value: Any, power: Any) -> Any:
    """Multiply by two to a whole power k, given as the float k + 1.5 * 2^52, whose last bits are those of k."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        value, power = (builder.bitcast(argument, BITS) for argument in arguments)
        raised = builder.add(value, builder.shl(power, ir.Constant(BITS, [52] * LANES)))
        return builder.bitcast(raised, VECTOR)

    return lanes_type(value, power), generate


@_intrinsic  # type: ignore[untyped-decorator]
def square_root(typing: Any, value: Any) -> Any:
    """Take the square root, lane by lane."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        name = f"llvm.sqrt.v{LANES}f64"
        known = builder.module.globals.get(name)
        root = known or ir.Function(builder.module, ir.FunctionType(VECTOR, [VECTOR]), name)
        return builder.call(root, arguments)

    return lanes_type(value), generate


def _arithmetic(operation: Callable[..., Any], instruction: str) -> None:
    @_intrinsic  # type: ignore[untyped-decorator]
    def compute(typing: Any, a: Any, b: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return getattr(builder, instruction)(*arguments, flags=("contract",))

        return a(a, b), generate

    def typed(a, b):  # type: ignore[no-untyped-def] # numba wants the same bare names as in the lambda
        if isinstance(a, (LanesType, SingleLanesType)) and a == b:
            return lambda a, b: compute(a, b)
        return None

    overload(operation)(typed)


for _operation, _instruction in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _arithmetic(_operation, _instruction)
