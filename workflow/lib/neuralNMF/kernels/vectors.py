"""Eight numbers at a time: what the compiled loops are made of.

Left to itself, the compiler tests before every short loop whether its arrays overlap, and keeps
nothing in registers where they might; at ranks of 10 to 50 that costs as much as the arithmetic.
These functions say what is meant: they load, add and store ``LANES`` neighbouring numbers of a
contiguous array, wherever they lie in it. Offsets count numbers, not bytes, from the first one.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 8

# No assumption about NaN and infinities: those of the data must reach the result.
_FAST = ("contract", "reassoc", "nsz", "arcp")


def blocks_of(rank: int) -> tuple[int, ...]:
    """One entry for every ``LANES`` of a rank.

    Compiled loops take its length for a constant, and unroll.
    """
    return (0,) * -(-rank // LANES)


def _place(context, builder, kind, array, offset):
    """(pointer to the vector at an offset, its alignment)."""
    start = context.make_array(kind)(context, builder, array).data
    number = context.get_data_type(kind.dtype)
    vector = ir.VectorType(number, LANES).as_pointer()
    place = builder.bitcast(builder.gep(start, [offset]), vector)
    return place, context.get_abi_sizeof(number)


def _load(context, builder, kind, array, offset):
    place, alignment = _place(context, builder, kind, array, offset)
    return builder.load(place, align=alignment)


def _store(context, builder, kind, array, offset, value):
    place, alignment = _place(context, builder, kind, array, offset)
    builder.store(value, place, align=alignment)


def _everywhere(builder, number):
    vector = ir.VectorType(number.type, LANES)
    nothing = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(nothing, number, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(first, nothing, zeros)


def _add(builder, total, left, right):
    return builder.fadd(total, builder.fmul(left, right, flags=_FAST), flags=_FAST)


@intrinsic
def add_scaled(typing, target, at, source, place, factor):
    """target[at : at + LANES] += factor * source[place : place + LANES]."""

    def generate(context, builder, signature, args):
        into, _, kind, *_ = signature.args
        total = _load(context, builder, into, args[0], args[1])
        part = _load(context, builder, kind, args[2], args[3])
        total = _add(builder, total, part, _everywhere(builder, args[4]))
        _store(context, builder, into, args[0], args[1], total)
        return context.get_dummy_value()

    signature = types.none(target, types.intp, source, types.intp, target.dtype)
    return signature, generate


@intrinsic
def add_four_scaled(typing, target, at, source, a, b, c, d, fa, fb, fc, fd):
    """As four of `add_scaled`, from the places a, b, c, d with the factors fa, fb, fc, fd.

    One load and one store of the target for all four.
    """

    def generate(context, builder, signature, args):
        into, _, kind, *_ = signature.args
        total = _load(context, builder, into, args[0], args[1])
        pairs = []
        for place, factor in zip(args[3:7], args[7:], strict=True):
            part = _load(context, builder, kind, args[2], place)
            pairs.append(builder.fmul(part, _everywhere(builder, factor), flags=_FAST))
        # Two sums, so that no addition waits for three others.
        first = builder.fadd(pairs[0], pairs[1], flags=_FAST)
        second = builder.fadd(pairs[2], pairs[3], flags=_FAST)
        total = builder.fadd(total, builder.fadd(first, second, flags=_FAST), flags=_FAST)
        _store(context, builder, into, args[0], args[1], total)
        return context.get_dummy_value()

    places, factors = [types.intp] * 4, [target.dtype] * 4
    return types.none(target, types.intp, source, *places, *factors), generate


@intrinsic
def subtract_products(typing, target, at, left, a, right, b, count):
    """target[at : at + LANES] -= the sum of ``count`` products of neighbouring vectors.

    The first is left[a : a + LANES] * right[b : b + LANES].
    """

    def generate(context, builder, signature, args):
        into, _, one, _, other, *_ = signature.args
        total = cgutils.alloca_once_value(builder, _load(context, builder, into, args[0], args[1]))
        with cgutils.for_range(builder, args[6]) as loop:
            step = builder.mul(loop.index, ir.Constant(loop.index.type, LANES))
            first = _load(context, builder, one, args[2], builder.add(args[3], step))
            second = _load(context, builder, other, args[4], builder.add(args[5], step))
            product = builder.fmul(first, second, flags=_FAST)
            builder.store(builder.fsub(builder.load(total), product, flags=_FAST), total)
        _store(context, builder, into, args[0], args[1], builder.load(total))
        return context.get_dummy_value()

    index = types.intp
    return types.none(target, index, left, index, right, index, index), generate


@intrinsic
def fill(typing, target, at, number):
    """target[at : at + LANES] = number."""

    def generate(context, builder, signature, args):
        into = signature.args[0]
        _store(context, builder, into, args[0], args[1], _everywhere(builder, args[2]))
        return context.get_dummy_value()

    return types.none(target, types.intp, target.dtype), generate


@intrinsic
def multiply(typing, target, at, source, place):
    """target[at : at + LANES] *= source[place : place + LANES]."""

    def generate(context, builder, signature, args):
        into, _, kind, _ = signature.args
        total = _load(context, builder, into, args[0], args[1])
        part = _load(context, builder, kind, args[2], args[3])
        _store(context, builder, into, args[0], args[1], builder.fmul(total, part, flags=_FAST))
        return context.get_dummy_value()

    return types.none(target, types.intp, source, types.intp), generate


@intrinsic
def inverse_root(typing, target, at, mask, place, least):
    """target[at : at + LANES] = mask / its root, and 0 where it is not above ``least``."""

    def generate(context, builder, signature, args):
        into, _, other, _, _ = signature.args
        value = _load(context, builder, into, args[0], args[1])
        part = _load(context, builder, other, args[2], args[3])
        name = f"llvm.sqrt.v{LANES}{value.type.element.intrinsic_name}"
        kind = ir.FunctionType(value.type, (value.type,))
        root = builder.call(cgutils.get_or_insert_function(builder.module, kind, name), (value,))
        inverse = builder.fdiv(part, root)
        above = builder.fcmp_ordered(">", value, _everywhere(builder, args[4]))
        nothing = ir.Constant(value.type, [0.0] * LANES)
        _store(context, builder, into, args[0], args[1], builder.select(above, inverse, nothing))
        return context.get_dummy_value()

    return types.none(target, types.intp, mask, types.intp, target.dtype), generate


@intrinsic
def dot(typing, blocks, left, a, right, b):
    """Sum of left[a : a + width] * right[b : b + width], with a width of LANES * len(blocks).

    Both arrays hold numbers of one type, and so is the sum.
    """
    count = len(blocks)

    def generate(context, builder, signature, args):
        _, one, _, other, _ = signature.args
        total = None
        for block in range(count):
            step = ir.Constant(args[2].type, block * LANES)
            first = _load(context, builder, one, args[1], builder.add(args[2], step))
            second = _load(context, builder, other, args[3], builder.add(args[4], step))
            product = builder.fmul(first, second, flags=_FAST)
            total = product if total is None else builder.fadd(total, product, flags=_FAST)
        return _across(builder, total)

    return left.dtype(blocks, left, types.intp, right, types.intp), generate


def _across(builder, vector):
    """Sum of a vector's numbers, by halves."""
    width = LANES
    nothing = ir.Constant(vector.type, ir.Undefined)
    while width > 1:
        width //= 2
        turned = [(lane + width) % LANES for lane in range(LANES)]
        order = ir.Constant(ir.VectorType(ir.IntType(32), LANES), turned)
        other = builder.shuffle_vector(vector, nothing, order)
        vector = builder.fadd(vector, other, flags=_FAST)
    return builder.extract_element(vector, ir.Constant(ir.IntType(32), 0))
