"""The compiled loops are those of the sources; small problems side by side beside NumPy's."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from neuralNMF.kernels.cache import forget_stale
from neuralNMF.kernels.side_by_side import exchange, factorise, substitute
from neuralNMF.kernels.vectors import LANES


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package with two sources in ``kernels`` and numba's files there and elsewhere."""
    for place in ("kernels", "other"):
        (tmp_path / place / "__pycache__").mkdir(parents=True)
        for kind in ("nbi", "nbc"):
            (tmp_path / place / "__pycache__" / f"loop.{kind}").write_text("compiled")
    (tmp_path / "kernels" / "one.py").write_text("a = 1")
    (tmp_path / "kernels" / "two.py").write_text("b = 2")
    return tmp_path


def indices(package: Path) -> list[str]:
    return sorted(path.parts[-3] for path in package.rglob("*.nbi"))


def compile_again(package: Path) -> None:
    for place in ("kernels", "other"):
        (package / place / "__pycache__" / "loop.nbi").write_text("compiled")


def change(package: Path) -> None:
    (package / "kernels" / "two.py").write_text("b = 3")


def rename(package: Path) -> None:
    (package / "kernels" / "two.py").rename(package / "kernels" / "three.py")


def remove(package: Path) -> None:
    (package / "kernels" / "two.py").unlink()


@pytest.mark.parametrize("happens", [change, rename, remove])
def test_what_was_compiled_from_other_sources_is_removed_once(package, happens):
    sources = package / "kernels"
    forget_stale(sources, package)
    assert indices(package) == []
    compile_again(package)
    forget_stale(sources, package)
    assert indices(package) == ["kernels", "other"]
    happens(package)
    forget_stale(sources, package)
    assert indices(package) == []
    compile_again(package)
    forget_stale(sources, package)
    assert indices(package) == ["kernels", "other"]


def test_where_nothing_can_be_written_nothing_is_removed(package):
    stamp = package / "kernels" / "__pycache__" / "compiled_from"
    stamp.mkdir()  # no file can take its place, whoever asks
    forget_stale(package / "kernels", package)
    assert indices(package) == ["kernels", "other"]


def test_a_change_within_what_is_compiled_in_reaches_the_result(tmp_path):
    head = "import numba\n"
    loop = "@numba.njit(cache=True)\ndef {}():\n    return {}\n"
    program = "from pathlib import Path; from neuralNMF.kernels.cache import forget_stale; {}"
    program += "import outer; print(outer.outer())"
    (tmp_path / "outer.py").write_text(
        head + "from inner import inner\n" + loop.format("outer", "inner()")
    )

    def run(first: str) -> str:
        command = [sys.executable, "-c", program.format(first)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    (tmp_path / "inner.py").write_text(head + loop.format("inner", 1))
    assert run("") == "1"
    (tmp_path / "inner.py").write_text(head + loop.format("inner", 22))
    # What numba does by itself: where it no longer does, `forget_stale` may go.
    assert run("") == "1"
    assert run("forget_stale(Path(), Path()); ") == "22"


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
