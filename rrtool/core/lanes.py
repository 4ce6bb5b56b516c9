"""Several float32 columns of a row in registers, for compiled loops.

LLVM keeps sums in registers over a loop only where their number is known as it compiles; for a
number of columns that is not, it fetches and stores them in every turn. These are its vectors, of
a number of columns that is written where they are loaded: ``load(32, rows, i, c)``.
"""

from typing import Any

from llvmlite import ir
from numba import extending, types
from numba.core import cgutils
from numba.core.datamodel import models

intrinsic: Any = extending.intrinsic  # what it makes is called with other arguments
_FLOAT, _PLACE = ir.FloatType(), ir.IntType(32)


class Lanes(types.Type):
    """``n`` float32 side by side."""

    def __init__(self, n: int) -> None:
        self.n = n
        super().__init__(f"Lanes({n})")


@extending.register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, lanes: Lanes) -> None:
        super().__init__(manager, lanes, ir.VectorType(_FLOAT, lanes.n))


@intrinsic(prefer_literal=True)
def load(typing, n, rows, i, column):
    """``rows[i, column : column + n]`` of a contiguous float32 matrix; ``n`` is a constant."""
    if not (isinstance(n, types.IntegerLiteral) and _is_matrix(rows)):
        return None
    lanes = Lanes(n.literal_value)

    def generate(context, builder, signature, arguments):
        _, *where = arguments
        return builder.load(_address(context, builder, rows, where, lanes), align=4)

    return lanes(n, rows, types.intp, types.intp), generate


@intrinsic
def store(typing, rows, i, column, lanes):
    """``rows[i, column : column + n] = lanes``."""
    if not (isinstance(lanes, Lanes) and _is_matrix(rows)):
        return None

    def generate(context, builder, signature, arguments):
        *where, value = arguments
        builder.store(value, _address(context, builder, rows, where, lanes), align=4)
        return context.get_dummy_value()

    return types.void(rows, types.intp, types.intp, lanes), generate


@intrinsic(prefer_literal=True)
def repeat(typing, n, number):
    """``n`` times the same number, a float32."""
    if not isinstance(n, types.IntegerLiteral):
        return None
    lanes = Lanes(n.literal_value)

    def generate(context, builder, signature, arguments):
        return _repeated(builder, arguments[1], lanes.n)

    return lanes(n, types.float32), generate


@intrinsic
def add_product(typing, lanes, factor, others):
    """``lanes + factor · others``, in one step where the processor has such."""
    if not (isinstance(lanes, Lanes) and lanes == others):
        return None

    def generate(context, builder, signature, arguments):
        value, number, other = arguments
        product = builder.fmul(_repeated(builder, number, lanes.n), other, flags=("contract",))
        return builder.fadd(value, product, flags=("contract",))

    return lanes(lanes, types.float32, others), generate


def _repeated(builder, number, n):
    undefined = ir.Constant(ir.VectorType(_FLOAT, n), ir.Undefined)
    first = builder.insert_element(undefined, number, _PLACE(0))
    everywhere = ir.Constant(ir.VectorType(_PLACE, n), [0] * n)
    return builder.shuffle_vector(first, undefined, everywhere)


def _is_matrix(rows: types.Type) -> bool:
    return (
        isinstance(rows, types.Array)
        and (rows.ndim, rows.layout) == (2, "C")
        and rows.dtype == types.float32
    )


def _address(context, builder, rows, where, lanes) -> ir.Value:
    data, i, column = where
    matrix = context.make_array(rows)(context, builder, data)
    width = cgutils.unpack_tuple(builder, matrix.shape)[1]
    first = builder.gep(matrix.data, [builder.add(builder.mul(i, width), column)])
    return builder.bitcast(first, ir.VectorType(_FLOAT, lanes.n).as_pointer())
