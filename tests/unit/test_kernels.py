"""The compiled loops are those of the sources."""

import subprocess
import sys
from pathlib import Path

import pytest
from neuralNMF.kernels.stale import forget_stale


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
    program = "from pathlib import Path; from neuralNMF.kernels.stale import forget_stale; {}"
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
