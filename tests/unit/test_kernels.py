"""Compiled loops: where they are kept, what they do with NaN, and NumPy's values."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import neuralNMF
import numpy as np
import pytest
from neuralNMF.kernels.cells import move_rows
from neuralNMF.kernels.compiled import OPTIONS
from neuralNMF.kernels.descent import descend_matrix, descend_rows
from neuralNMF.kernels.gram import gram_and_products, rows_gram
from neuralNMF.kernels.nnls import solve_columns, solve_supports, unit_diagonal
from neuralNMF.kernels.poisson import curvature_sums, hessian_sums, rate_sums
from neuralNMF.kernels.side_by_side import exchange, factorise, substitute
from neuralNMF.kernels.sparse import carry_over, rows_times, rows_transposed_times
from neuralNMF.kernels.vectors import LANES, read_only

# A loop with a piece compiled into it: doubles what it is given, or as the piece is edited.
PROGRAM = """
import sys
import numpy as np
from neuralNMF.kernels.sparse import rows_times
{between}
kind = np.dtype(sys.argv[1])
right = np.zeros((3, 8), kind)
right[:, 0] = 1, 10, 100
out = np.zeros((2, 1), kind)
indptr, indices = np.array([0, 2, 3]), np.array([0, 2, 1], np.uint32)
data, scale = np.array([1, 2, 3], kind), np.ones(2, kind)
rows_times(0, 2, indptr, indices, data, scale, right, out, (0,))
print(*out[:, 0].tolist(), len(rows_times.stats.cache_hits))
"""
PIECE = "add_scaled(total, q, right, j + q, data[p])"
EDITED = "add_scaled(total, q, right, j + q, 2 * data[p])"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the library's loops, to be edited."""
    library = Path(neuralNMF.__file__).parent
    copy = tmp_path / "neuralNMF"
    (copy / "kernels").mkdir(parents=True)
    shutil.copy(library / "__init__.py", copy)
    for source in (library / "kernels").glob("*.py"):
        shutil.copy(source, copy / "kernels")
    return copy


def start(package: Path, between: str = "", kind: str = "float64", **variables: str):
    """A process that compiles or loads a loop, says what it gives, and whether it was loaded."""
    keep = {key: value for key, value in os.environ.items() if not key.startswith("NUMBA")}
    environment = {**keep, "PYTHONPATH": str(package.parent), **variables}
    command = [sys.executable, "-c", PROGRAM.format(between=between), kind]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def ended(process: subprocess.Popen) -> tuple[list[float], str]:
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    return [float(number) for number in output.split()], errors


def run(package: Path, between: str = "", **variables: str) -> list[float]:
    return ended(start(package, between, **variables))[0]


def edit(package: Path) -> None:
    source = package / "kernels" / "sparse.py"
    text = source.read_text()
    assert PIECE in text
    source.write_text(text.replace(PIECE, EDITED))


def blocked(package: Path) -> None:
    """As if the package could not be written: what should be a folder is a file."""
    (package / "kernels" / "__pycache__").write_text("")


@pytest.mark.parametrize("place", ["named by a variable", "package", "home"])
def test_an_edited_piece_is_compiled_anew_wherever_loops_are_kept(package, tmp_path, place):
    variables = {"HOME": str(tmp_path / "home")}
    if place == "named by a variable":
        variables["NUMBA_CACHE_DIR"] = str(tmp_path / "kept")
    elif place == "home":
        blocked(package)
    assert run(package, **variables) == [201, 30, 0]
    assert run(package, **variables) == [201, 30, 1], "the second process loads what was kept"
    edit(package)
    assert run(package, **variables) == [402, 60, 0]
    kept = {path.suffix for path in tmp_path.rglob("loops-*/*")}
    assert kept == {".nbi", ".nbc"}


def test_a_source_that_changes_under_a_running_process_leaves_no_old_loops(package, tmp_path):
    variables = {"NUMBA_CACHE_DIR": str(tmp_path / "kept")}
    change = (
        "from pathlib import Path; p = Path(sys.modules['neuralNMF.kernels.sparse'].__file__); "
        f"p.write_text(p.read_text().replace({PIECE!r}, {EDITED!r}))"
    )
    assert run(package, change, **variables) == [201, 30, 0], "it began with the old source"
    assert run(package, **variables) == [402, 60, 0]


@pytest.mark.slow
def test_processes_that_compile_at_once_are_all_right(package, tmp_path):
    """Six of them; ``benchmarks.faults.starts`` has twenty runs of the workflow."""
    variables = {"NUMBA_CACHE_DIR": str(tmp_path / "kept")}
    kinds = ["float32", "float64"] * 3
    processes = [start(package, kind=kind, **variables) for kind in kinds]
    assert all(ended(process)[0][:2] == [201, 30] for process in processes)
    # What is kept belongs to its kind of numbers, whoever came first.
    assert all(
        ended(start(package, kind=kind, **variables))[0] == [201, 30, 1] for kind in kinds[:2]
    )


def test_where_nothing_can_be_kept_loops_run_and_one_sentence_says_what_to_set(package):
    blocked(package)
    show = "import logging"
    found, errors = ended(start(package, show, HOME="/dev/null"))
    assert found == [201, 30, 0]
    assert errors.count("\n") == 1
    assert "set NUMBA_CACHE_DIR to a folder that can be written" in errors


def test_one_set_of_options_that_assumes_nothing_of_nan_and_infinities():
    assert OPTIONS["fastmath"].isdisjoint({"fast", "nnan", "ninf"})
    package = Path(neuralNMF.__file__).parent
    for source in package.rglob("*.py"):
        if source.name != "compiled.py":
            assert "njit" not in source.read_text(), f"{source.name} compiles by other options"


NAN = float("nan")


def rows(value: float, kind=np.float32):
    """Two cells with three non-zeros, one of them ``value``: what all loops over cells take."""
    indptr, indices = np.array([0, 2, 3]), read_only(np.array([0, 2, 1], np.uint32))
    return indptr, indices, read_only(np.array([1, value, 3], kind)), np.ones(2, kind)


def ones(*shape: int, kind=np.float32) -> np.ndarray:
    return np.ones(shape, kind)


@pytest.mark.parametrize("value", [NAN, np.inf], ids=["nan", "infinity"])
def test_what_is_not_finite_in_the_cells_reaches_products(value):
    out, sums = ones(2, 1), np.zeros((3, LANES), np.float32)
    rows_times(0, 2, *rows(value), ones(3, LANES), out, (0,))
    rows_transposed_times(0, 2, *rows(value), ones(2, 1), sums, (0,))
    assert not np.isfinite(out[0, 0])
    assert out[1, 0] == 3
    assert np.isfinite(sums[:, 0]).tolist() == [True, True, False]
    totals = np.zeros((3, 1))
    carry_over(0, 3, sums, totals)
    assert np.isfinite(totals[:, 0]).tolist() == [True, True, False]
    assert not sums[:, 0].any()


@pytest.mark.parametrize("place", ["data", "theta", "slope", "curvature", "momentum"])
def test_what_is_not_finite_reaches_a_move_of_the_cells(place):
    values = {
        "data": 1.0,
        "theta": ones(2, 1),
        "slope": ones(3, LANES),
        "curvature": ones(1, 1, kind=np.float64),
        "momentum": np.float32(0.5),
    }
    if place == "data":
        values["data"] = NAN
    elif place == "momentum":
        values["momentum"] = np.float32(NAN)
    else:
        values[place][:] = NAN
    cross, gram = np.zeros((3, LANES), np.float32), np.zeros((1, 1))
    proposal, trial = ones(2, 1), ones(2, 1)
    move_rows(
        0,
        2,
        *rows(values["data"]),
        values["theta"],
        values["slope"],
        np.zeros((1, 1)),
        values["curvature"],
        2,
        values["momentum"],
        proposal,
        trial,
        cross,
        gram,
        (0,),
    )
    assert np.isnan(trial[0, 0])
    assert np.isnan(cross[0, 0])
    assert np.isnan(gram).all()


@pytest.mark.parametrize("place", ["theta", "linear", "curvature"])
def test_what_is_not_finite_reaches_a_descent(place):
    arrays = {"theta": ones(3, 2), "linear": -ones(3, 2), "curvature": np.eye(2, dtype=np.float32)}
    arrays[place][1, 1] = NAN
    descend_rows(0, 3, *arrays.values(), 2)
    assert np.isnan(arrays["theta"]).any()
    small = {name: array.astype(np.float64) for name, array in arrays.items()}
    small["theta"], small["linear"] = np.ones((2, 2)), -np.ones((2, 2))
    if place != "curvature":
        small[place][1, 1] = NAN
    descend_matrix(small["theta"], small["linear"], np.eye(2), small["curvature"], 2)
    assert np.isnan(small["theta"]).any()


def test_what_is_not_finite_reaches_gram_sums():
    tall = np.ones((70, 3))
    tall[66, 1] = NAN
    total, twice = np.zeros((3, 3)), np.zeros((3, 3))
    rows_gram(0, 70, tall, total)
    by_other, by_weights = gram_and_products(tall, np.ones((70, 3)), np.ones((3, 3)), twice)
    for gram in (total, twice):
        assert np.isnan(gram).tolist() == [[False, True, False], [True] * 3, [False, True, False]]
    assert np.isnan([by_other, by_weights]).all()


@pytest.mark.parametrize("value", [NAN, np.inf], ids=["nan", "infinity"])
def test_what_is_not_finite_reaches_least_squares(value):
    rng = np.random.default_rng(0)
    theta = rng.random((20, 3))
    right = rng.random((10, 3)) + 1
    right[4, 1] = value
    scale, unit = unit_diagonal(theta.T @ theta)
    support, solution = np.ones((10, 3), bool), np.empty((10, 3))
    factors = np.zeros((2, 6, LANES))
    stubborn = np.zeros(10, bool)
    solve_columns(0, 10, unit, right, scale, support, solution, factors, stubborn, 1e-13, 1e-12)
    assert not stubborn.any()
    assert not np.isfinite(solution[4]).any()
    assert np.isfinite(np.delete(solution, 4, axis=0)).all()
    grad, out = np.ones((10, 3)), np.empty((10, 3))
    grad[2] = value
    solve_supports(0, 2, factors, grad, scale, out)
    assert not np.isfinite(out[2]).all()
    assert np.isfinite(out[0]).all()
    spoilt = theta.T @ theta
    spoilt[1, 1] = NAN
    scale, unit = unit_diagonal(spoilt)
    assert np.isnan(scale[1])


@pytest.mark.parametrize("place", ["data", "theta", "programs"])
def test_what_is_not_finite_reaches_poisson_sums(place):
    theta, programs = ones(2, 1), ones(3, LANES)
    theta[0] = NAN if place == "theta" else 1
    programs[0] = NAN if place == "programs" else 1
    cells = (*rows(NAN if place == "data" else 1.0), theta, programs)
    floor, by_row = np.float32(1e-10), ones(2, 1)
    sums = np.zeros((3, LANES), np.float32)
    log_sum = rate_sums(0, 2, *cells, floor, by_row, sums, True, True, (0,))
    assert np.isnan([log_sum, by_row[0, 0]]).all()
    assert np.isnan(sums).any()
    sums[:] = 0
    curvature_sums(0, 2, *cells, ones(3, LANES), floor, by_row, sums, True, (0,))
    assert np.isnan(by_row[0, 0])
    assert np.isnan(sums).any()
    sums[:] = 0
    hessian_sums(0, 2, *cells, floor, sums, (0,))
    assert np.isnan(sums).any()


@pytest.mark.parametrize("rank", [1, 2, 3, 5, 6, 8, 9, 20])
def test_problems_side_by_side(rank):
    rng = np.random.default_rng(rank)
    theta = rng.random((40, rank))
    theta /= np.linalg.norm(theta, axis=0)
    gram, right = theta.T @ theta, rng.standard_normal((rank, LANES))
    passive = (rng.random((rank, LANES)) < 0.6).astype(float)
    passive[:, 0], passive[:, 1] = 1, 0
    support = passive > 0
    # Whatever the memory held before.
    factor = np.full((rank * (rank + 1) // 2, LANES), np.nan)
    values = right.copy()
    factorise(gram, passive, factor, 1e-12)
    substitute(factor, values)
    slack, wrong = np.full(LANES, 0.1), np.empty(LANES)
    exchange(gram, right, factor, values, passive, slack, wrong)
    for lane in range(LANES):
        own = support[:, lane]
        expected = np.zeros(rank)
        expected[own] = np.linalg.solve(gram[np.ix_(own, own)], right[own, lane])
        np.testing.assert_allclose(values[:, lane], expected, rtol=1e-8, atol=1e-12)
        slope = right[:, lane] - gram @ expected
        stays = np.where(own, expected > 0, slope > slack[lane])
        np.testing.assert_array_equal(passive[:, lane], stays)
        assert wrong[lane] == (stays != own).sum()
