"""The benchmarks: what they import is there; which planted sizes count as found."""

import ast
from pathlib import Path

import pandas as pd
import pytest

from benchmarks import planted_sizes

ROOT = Path(__file__).resolve().parents[2]
OURS = {
    "neuralNMF": ROOT / "workflow/lib",
    "nmf_workflow": ROOT / "workflow/lib",
    "benchmarks": ROOT,
}
BENCHMARKS = sorted((ROOT / "benchmarks").rglob("*.py"))


def names_in(module: str) -> set[str] | None:
    """What can be imported from a module of ours; None for others."""
    package, *_ = module.split(".")
    if package not in OURS:
        return None
    path = OURS[package] / module.replace(".", "/")
    below = {each.stem for each in path.glob("*")} if path.is_dir() else set()
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    names = set(below)
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Constant) and path.is_dir():
            names.add(str(node.value))  # what a package looks up when it is asked for
    return names


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_benchmark_imports_is_there(path: Path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (there := names_in(node.module)) is not None:
            assert {alias.name for alias in node.names} <= there, node.module


def row(kind: str, seed: int, layers: str, programs: str) -> dict:
    return {
        "kind": kind,
        "seed": seed,
        "layers": layers,
        "programs": programs,
        "processor_seconds": 9,
        "reason": "Layer 1: so.",
    }


def test_planted_sizes_that_count_as_found():
    rows = [
        row("12 in 4", 0, "12 4", "12 4"),
        row("12 in 4", 1, "14 5", "13 5"),
        row("12 in 4", 2, "14 4", "14 4"),
        row("12 in 4", 3, "12 7 4", "12 7 4"),
        row("noise", 0, "2", "1"),
        row("noise", 1, "3", "3"),
        row("flat 8", 0, "8", "8"),
    ]
    found = planted_sizes.figures(pd.DataFrame(rows))
    counts = {
        kind: [of[f"{what}_right"] for what in ("size", "depth", "both", "coarse")]
        for kind, of in found.items()
    }
    assert counts == {"12 in 4": [3, 3, 2, 4], "noise": [1, 2, 1, 0], "flat 8": [1, 1, 1, 0]}
    assert found["12 in 4"]["seeds"] == 4


def test_a_benchmark_of_planted_sizes_goes_on_where_it_was(tmp_path, monkeypatch):
    made = []

    def row_of(kind: str, seed: int, _: Path) -> dict:
        made.append((kind, seed))
        return row(kind, seed, "12 4", "12 4")

    monkeypatch.setattr(planted_sizes, "row_of", row_of)
    planted_sizes.measure(tmp_path, ["12 in 4"], 2)
    rows = planted_sizes.measure(tmp_path, ["12 in 4", "flat 8"], 2)
    # A seed of all kinds before the next one.
    assert made == [("12 in 4", 0), ("12 in 4", 1), ("flat 8", 0), ("flat 8", 1)]
    assert rows["kind"].tolist() == [kind for kind, _ in made]
    assert rows["programs"].tolist() == ["12 4"] * 4
    made.clear()
    planted_sizes.measure(tmp_path / "new", ["12 in 4", "flat 8"], 2)
    assert made == [("12 in 4", 0), ("flat 8", 0), ("12 in 4", 1), ("flat 8", 1)]
