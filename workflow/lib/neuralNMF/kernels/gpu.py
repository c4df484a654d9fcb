"""Loops over the non-zeros of sparse counts on a CUDA device, written in Triton.

A *segment* is a run of non-zeros that share a cell or a gene: a row of X, or a piece of a column.
One program of a grid takes one segment, in the order in which its non-zeros lie, and nothing is
added up by two programs at once: the same numbers give the same bytes. ``K`` is the number of
programs k, rounded up to a power of two; ``CHUNK`` non-zeros are read at a time.

Only `cells.gpu_rows` and `solvers.descent` import this, and only for a CUDA device: Triton comes
with the builds of torch that know CUDA.
"""

import triton
import triton.language as tl

# Rows that one program of `descend_tiles` moves: the fastest of 32, 64 and 128 on an H200.
ROWS = 32


@triton.jit
def products(
    begins, ends, indices, data, scale, right, out, k, BY_ROW: tl.constexpr, K: tl.constexpr,
    CHUNK: tl.constexpr,
):  # fmt: skip
    """out[segment] = sum of s x right[index]; s of the segment (BY_ROW) or of the index."""
    segment = tl.program_id(0).to(tl.int64)
    end = tl.load(ends + segment)
    columns = tl.arange(0, K)
    kind = out.dtype.element_ty
    total = tl.zeros((CHUNK, K), kind)
    for at in range(tl.load(begins + segment), end, CHUNK):
        place = at + tl.arange(0, CHUNK)
        there = place < end
        index = tl.load(indices + place, there, 0).to(tl.int64)
        x = tl.load(data + place, there, 0.0).to(kind)
        if not BY_ROW:
            x *= tl.load(scale + index, there, 0.0)
        mask = there[:, None] & (columns < k)[None, :]
        total += x[:, None] * tl.load(right + index[:, None] * k + columns[None, :], mask, 0.0)
    result = tl.sum(total, 0)
    if BY_ROW:
        result *= tl.load(scale + segment)
    tl.store(out + segment * k + columns, result, columns < k)


@triton.jit
def rates(
    begins, ends, owners, indices, data, own, others, floor, sums, logs, k, SUMS: tl.constexpr,
    BY_ROW: tl.constexpr, K: tl.constexpr, CHUNK: tl.constexpr,
):  # fmt: skip
    """Sums of x / r others[index] and of x log r, with the rate r = own . others[index] + floor."""
    segment = tl.program_id(0).to(tl.int64)
    end = tl.load(ends + segment)
    columns = tl.arange(0, K)
    kind = own.dtype.element_ty
    owner = segment
    if not BY_ROW:
        owner = tl.load(owners + segment)
    a = tl.load(own + owner * k + columns, columns < k, 0.0)
    total = tl.zeros((CHUNK, K), kind)
    log_sum = tl.zeros((CHUNK,), tl.float64)
    for at in range(tl.load(begins + segment), end, CHUNK):
        place = at + tl.arange(0, CHUNK)
        there = place < end
        index = tl.load(indices + place, there, 0).to(tl.int64)
        x = tl.load(data + place, there, 0.0).to(kind)
        mask = there[:, None] & (columns < k)[None, :]
        b = tl.load(others + index[:, None] * k + columns[None, :], mask, 0.0)
        rate = tl.where(there, tl.sum(a[None, :] * b, 1) + floor, 1.0).to(kind)
        log_sum += (x * tl.log(rate)).to(tl.float64)
        if SUMS:
            total += (x / rate)[:, None] * b
    tl.store(logs + segment, tl.sum(log_sum, 0))
    if SUMS:
        tl.store(sums + segment * k + columns, tl.sum(total, 0), columns < k)


@triton.jit
def bend_rows(
    begins, ends, indices, data, own, others, directions, floor, sums, k, K: tl.constexpr,
    CHUNK: tl.constexpr,
):  # fmt: skip
    """Sums over a row of x / r d - x o / r^2 w, with o = own . directions[index]."""
    segment = tl.program_id(0).to(tl.int64)
    end = tl.load(ends + segment)
    columns = tl.arange(0, K)
    kind = own.dtype.element_ty
    u = tl.load(own + segment * k + columns, columns < k, 0.0)
    total = tl.zeros((CHUNK, K), kind)
    for at in range(tl.load(begins + segment), end, CHUNK):
        place = at + tl.arange(0, CHUNK)
        there = place < end
        index = tl.load(indices + place, there, 0).to(tl.int64)
        x = tl.load(data + place, there, 0.0).to(kind)
        mask = there[:, None] & (columns < k)[None, :]
        inside = index[:, None] * k + columns[None, :]
        w = tl.load(others + inside, mask, 0.0)
        d = tl.load(directions + inside, mask, 0.0)
        rate = tl.where(there, tl.sum(u[None, :] * w, 1) + floor, 1.0).to(kind)
        ratio = x / rate
        bend = ratio * tl.sum(u[None, :] * d, 1) / rate
        total += ratio[:, None] * d - bend[:, None] * w
    tl.store(sums + segment * k + columns, tl.sum(total, 0), columns < k)


@triton.jit
def bend_columns(
    begins, ends, owners, indices, data, programs, directions, usage, floor, sums, k,
    K: tl.constexpr, CHUNK: tl.constexpr,
):  # fmt: skip
    """Sums over a piece of a column of x o / r^2 usage[index], with o as in `bend_rows`."""
    segment = tl.program_id(0).to(tl.int64)
    end = tl.load(ends + segment)
    columns = tl.arange(0, K)
    kind = usage.dtype.element_ty
    owner = tl.load(owners + segment)
    w = tl.load(programs + owner * k + columns, columns < k, 0.0)
    d = tl.load(directions + owner * k + columns, columns < k, 0.0)
    total = tl.zeros((CHUNK, K), kind)
    for at in range(tl.load(begins + segment), end, CHUNK):
        place = at + tl.arange(0, CHUNK)
        there = place < end
        index = tl.load(indices + place, there, 0).to(tl.int64)
        x = tl.load(data + place, there, 0.0).to(kind)
        mask = there[:, None] & (columns < k)[None, :]
        u = tl.load(usage + index[:, None] * k + columns[None, :], mask, 0.0)
        rate = tl.where(there, tl.sum(u * w[None, :], 1) + floor, 1.0).to(kind)
        bend = x / rate * tl.sum(u * d[None, :], 1) / rate
        total += bend[:, None] * u
    tl.store(sums + segment * k + columns, tl.sum(total, 0), columns < k)


@triton.jit
def hessians(
    begins, ends, owners, indices, data, programs, usage, floor, sums, k, K: tl.constexpr,
    CHUNK: tl.constexpr,
):  # fmt: skip
    """Sums over a piece of a column of x / r^2 u u^T, u = usage[index]: (k, k) a piece."""
    segment = tl.program_id(0).to(tl.int64)
    end = tl.load(ends + segment)
    columns = tl.arange(0, K)
    kind = usage.dtype.element_ty
    w = tl.load(programs + tl.load(owners + segment) * k + columns, columns < k, 0.0)
    total = tl.zeros((K, K), kind)
    for at in range(tl.load(begins + segment), end, CHUNK):
        place = at + tl.arange(0, CHUNK)
        there = place < end
        index = tl.load(indices + place, there, 0).to(tl.int64)
        x = tl.load(data + place, there, 0.0).to(kind)
        mask = there[:, None] & (columns < k)[None, :]
        u = tl.load(usage + index[:, None] * k + columns[None, :], mask, 0.0)
        rate = tl.where(there, tl.sum(u * w[None, :], 1) + floor, 1.0).to(kind)
        weighted = (x / rate / rate)[:, None] * u
        total += tl.sum(weighted[:, :, None] * u[:, None, :], 0)
    inside = columns[:, None] * k + columns[None, :]
    mask = (columns < k)[:, None] & (columns < k)[None, :]
    tl.store(sums + segment * k * k + inside, total, mask)


@triton.jit
def join(first, parts, out, width, BLOCK: tl.constexpr):
    """Add up the pieces of each column in their order, in double precision."""
    gene = tl.program_id(0).to(tl.int64)
    columns = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), tl.float64)
    for piece in range(tl.load(first + gene), tl.load(first + gene + 1)):
        total += tl.load(parts + piece * width + columns, columns < width, 0.0).to(tl.float64)
    tl.store(out + gene * width + columns, total, columns < width)


@triton.jit
def descend_tiles(
    theta, linear, curvature, n, k, sweeps, K: tl.constexpr, ROWS: tl.constexpr
):  # fmt: skip
    """The steps of `kernels.descent.descend_rows`, in its order, for ROWS rows a program."""
    rows = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    columns = tl.arange(0, K)
    mask = (rows < n)[:, None] & (columns < k)[None, :]
    inside = rows[:, None] * k + columns[None, :]
    t = tl.load(theta + inside, mask, 0.0)
    c = tl.load(linear + inside, mask, 0.0)
    for _ in range(sweeps):
        for q in range(k):
            row = tl.load(curvature + q * k + columns, columns < k, 0.0)
            bend = tl.load(curvature + q * k + q)
            here = (columns == q)[None, :]
            slope = tl.sum(t * row[None, :] + tl.where(here, c, 0.0), 1)
            # A coordinate without curvature stays.
            step = tl.where(bend > 0, slope / tl.where(bend > 0, bend, 1.0), 0.0)
            t = tl.where(here, tl.maximum(t - step[:, None], 0.0), t)
    tl.store(theta + inside, t, mask)
