"""Vectors of eight numbers, with the arithmetic on them that the compiled loops are made of.

Left to itself, the compiler tests before every short loop whether its arrays overlap, and keeps
nothing in registers where they might; at ranks of 10 to 50 that costs as much as the arithmetic.
With these functions a loop says which numbers it keeps there. A vector holds ``LANES`` numbers in a
register; `load` and `store` move it from and to neighbouring numbers of a contiguous array,
wherever they lie in it. Offsets count numbers, not bytes, from the first one.
"""

import math

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import PrimitiveModel
from numba.extending import intrinsic, register_model

from neuralNMF.kernels.compiled import inlined

LANES = 8
# Rows handled side by side: a tile (k, TILE) holds some consecutive rows as its columns, so that a
# loop over coordinates that is serial within a row runs over vectors. Enough rows for additions not
# to wait for each other, few enough for the cache.
TILE = 64

# No assumption about NaN and infinities: those of the data must reach the result.
_FAST = ("contract", "reassoc", "nsz", "arcp")


def blocks_of(rank: int) -> tuple[int, ...]:
    """One entry for every ``LANES`` of a rank.

    Compiled loops take its length for a constant, and unroll.
    """
    return (0,) * -(-rank // LANES)


def aligned_empty(shape: tuple[int, ...], dtype: np.dtype | type) -> np.ndarray:
    """``np.empty`` that begins with a cache line.

    A vector that lies across two lines costs twice; numpy promises 16 bytes only, and where an
    array comes to lie differs from run to run.
    """
    line = 64
    size = math.prod(shape) * np.dtype(dtype).itemsize
    room = np.empty(size + line, np.uint8)
    first = -room.ctypes.data % line
    return room[first : first + size].view(dtype).reshape(shape)


def aligned_zeros(shape: tuple[int, ...], dtype: np.dtype | type) -> np.ndarray:
    """`aligned_empty`, filled with zeros."""
    zeros = aligned_empty(shape, dtype)
    zeros.fill(0)
    return zeros


def read_only(array: np.ndarray) -> np.ndarray:
    """The same numbers, that may not be written through what is returned."""
    view = array.view()
    view.flags.writeable = False
    return view


class Vector(types.Type):
    """Numba's type of ``LANES`` numbers."""

    def __init__(self, dtype: types.Float) -> None:
        self.dtype = dtype
        super().__init__(name=f"Vector({dtype})")


@register_model(Vector)
class _VectorModel(PrimitiveModel):
    def __init__(self, manager, kind):
        number = manager.lookup(kind.dtype).get_value_type()
        super().__init__(manager, kind, ir.VectorType(number, LANES))


def _place(context, builder, kind, array, offset):
    """(pointer to the vector at an offset, its alignment)."""
    start = context.make_array(kind)(context, builder, array).data
    number = context.get_data_type(kind.dtype)
    vector = ir.VectorType(number, LANES).as_pointer()
    place = builder.bitcast(builder.gep(start, [offset]), vector)
    return place, context.get_abi_sizeof(number)


def _everywhere(builder, number):
    vector = ir.VectorType(number.type, LANES)
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, number, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(first, undefined, zeros)


@intrinsic
def load(typing, array, at):
    """The vector array[at : at + LANES]."""

    def generate(context, builder, signature, args):
        place, alignment = _place(context, builder, signature.args[0], *args)
        return builder.load(place, align=alignment)

    return Vector(array.dtype)(array, types.intp), generate


@intrinsic
def store(typing, array, at, vector):
    """array[at : at + LANES] = vector."""

    def generate(context, builder, signature, args):
        place, alignment = _place(context, builder, signature.args[0], *args[:2])
        builder.store(args[2], place, align=alignment)
        return context.get_dummy_value()

    return types.none(array, types.intp, vector), generate


@intrinsic
def spread(typing, number):
    """The vector of one number, ``LANES`` times."""

    def generate(context, builder, signature, args):
        return _everywhere(builder, args[0])

    return Vector(number)(number), generate


@intrinsic
def product(typing, left, right):
    """Left * right, number by number."""

    def generate(context, builder, signature, args):
        return builder.fmul(*args, flags=_FAST)

    return left(left, left), generate


@intrinsic
def add_product(typing, total, left, right):
    """Total + left * right, number by number."""

    def generate(context, builder, signature, args):
        return builder.fadd(args[0], builder.fmul(*args[1:], flags=_FAST), flags=_FAST)

    return total(total, total, total), generate


@intrinsic
def subtract_product(typing, total, left, right):
    """Total - left * right, number by number."""

    def generate(context, builder, signature, args):
        return builder.fsub(args[0], builder.fmul(*args[1:], flags=_FAST), flags=_FAST)

    return total(total, total, total), generate


@intrinsic
def inverse_root(typing, vector, least):
    """1 / the root, and 0 where it is not above ``least`` (a number)."""

    def generate(context, builder, signature, args):
        value, bound = args
        name = f"llvm.sqrt.v{LANES}{value.type.element.intrinsic_name}"
        kind = ir.FunctionType(value.type, (value.type,))
        root = builder.call(cgutils.get_or_insert_function(builder.module, kind, name), (value,))
        inverse = builder.fdiv(ir.Constant(value.type, [1.0] * LANES), root)
        above = builder.fcmp_ordered(">", value, _everywhere(builder, bound))
        return builder.select(above, inverse, ir.Constant(value.type, [0.0] * LANES))

    return vector(vector, vector.dtype), generate


@intrinsic
def above(typing, left, right):
    """1 where left > right, else 0."""

    def generate(context, builder, signature, args):
        ones, zeros = (ir.Constant(args[0].type, [number] * LANES) for number in (1.0, 0.0))
        return builder.select(builder.fcmp_ordered(">", *args), ones, zeros)

    return left(left, left), generate


@intrinsic
def choose(typing, mask, left, right):
    """Left where the mask is above zero, else right."""

    def generate(context, builder, signature, args):
        zeros = ir.Constant(args[0].type, [0.0] * LANES)
        return builder.select(builder.fcmp_ordered(">", args[0], zeros), *args[1:])

    return left(left, left, left), generate


@intrinsic
def positive_part(typing, vector):
    """Zero where a number is below zero; NaN stays NaN."""

    def generate(context, builder, signature, args):
        zeros = ir.Constant(args[0].type, [0.0] * LANES)
        return builder.select(builder.fcmp_ordered("<", args[0], zeros), zeros, args[0])

    return vector(vector), generate


@intrinsic
def across(typing, vector):
    """Sum of a vector's numbers, by halves."""

    def generate(context, builder, signature, args):
        total, width = args[0], LANES
        undefined = ir.Constant(total.type, ir.Undefined)
        while width > 1:
            width //= 2
            turned = [(lane + width) % LANES for lane in range(LANES)]
            order = ir.Constant(ir.VectorType(ir.IntType(32), LANES), turned)
            other = builder.shuffle_vector(total, undefined, order)
            total = builder.fadd(total, other, flags=_FAST)
        return builder.extract_element(total, ir.Constant(ir.IntType(32), 0))

    return vector.dtype(vector), generate


@inlined
def add_scaled(target, at, source, place, factor):
    """target[at : at + LANES] += factor * source[place : place + LANES].

    The arrays hold numbers of one type; the factor becomes one of them.
    """
    scale = spread(target.dtype.type(factor))
    store(target, at, add_product(load(target, at), load(source, place), scale))


@inlined
def add_four_scaled(target, at, source, a, b, c, d, fa, fb, fc, fd):
    """As four of `add_scaled`, from the places a, b, c, d with the factors fa, fb, fc, fd.

    One load and one store of the target for all four.
    """
    kind = target.dtype.type
    # Two sums, so that no addition waits for three others.
    first = add_product(load(target, at), load(source, a), spread(kind(fa)))
    second = product(load(source, b), spread(kind(fb)))
    first = add_product(first, load(source, c), spread(kind(fc)))
    second = add_product(second, load(source, d), spread(kind(fd)))
    store(target, at, add_product(first, second, spread(kind(1))))


@inlined
def dot(blocks, left, a, right, b):
    """Sum of left[a : a + width] * right[b : b + width], with a width of LANES * len(blocks).

    Both arrays hold numbers of one type, and so is the sum.
    """
    total = product(load(left, a), load(right, b))
    for q in range(LANES, len(blocks) * LANES, LANES):
        total = add_product(total, load(left, a + q), load(right, b + q))
    return across(total)


@inlined
def take_tile(rows, first, count, tile):
    """tile (k, TILE) = ``count`` rows of ``rows`` (N, k) from ``first`` on; 0 beside them."""
    for lane in range(count):
        for q in range(rows.shape[1]):
            tile[q, lane] = rows[first + lane, q]
    for lane in range(count, TILE):
        for q in range(rows.shape[1]):
            tile[q, lane] = 0
