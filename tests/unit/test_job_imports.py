"""What a job imports before it works: torch only where it fits, AnnData only where it writes."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

WORKFLOW = Path(__file__).parents[2] / "workflow"
SCRIPTS = sorted((WORKFLOW / "scripts").glob("*.py"))
WITH_TORCH = ("train_layer", "project", "try_size", "choose_layers")
MODULES = [f"nmf_workflow.{path.stem}" for path in (WORKFLOW / "lib/nmf_workflow").glob("*.py")]


def imported(code: str) -> set[str]:
    """Names of all modules that a process has imported after some code."""
    code += "\nimport sys; sys.stdout.write(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def imports_of(script: Path) -> str:
    tree = ast.parse(script.read_text(encoding="utf-8"))
    lines = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    return "\n".join(map(ast.unparse, lines))


def test_scripts_that_fit():
    """All of them in one process: torch takes seconds, and what is not there is in none of them."""
    scripts = [WORKFLOW / "scripts" / f"{name}.py" for name in WITH_TORCH]
    found = imported("\n".join(map(imports_of, scripts)))
    assert {"nmf_workflow.script", "torch", "numba", "pandas"} <= found
    assert not {"anndata", "matplotlib", "sklearn"} & found


@pytest.mark.parametrize(
    "script", [path for path in SCRIPTS if path.stem not in WITH_TORCH], ids=lambda path: path.stem
)
def test_scripts(script: Path):
    found = imported(imports_of(script))
    assert "nmf_workflow.script" in found
    assert not {"torch", "numba", "anndata"} & found
    assert ("pandas" in found) == (script.stem not in ("simulate", "write_h5"))
    drawing = script.stem.startswith("plot_")
    if drawing:
        # Counts are looked at by plot_beta alone.
        assert ("scipy" in found) == (script.stem in ("plot_beta", "plot_umap"))
        assert "matplotlib.pyplot" not in found
    # What judges programs draws what it found: a job of its own would start for longer.
    assert ("matplotlib" in found) == (drawing or script.stem == "judge_programs")
    # What judges programs imports it where there are labels or batches.
    assert ("sklearn" in found) == (script.stem == "embed")


def test_what_the_snakefile_imports():
    found = imported("\n".join(f"import {module}" for module in sorted(MODULES)))
    assert {"nmf_workflow.params", "neuralNMF.options"} <= found
    assert not {"torch", "numba", "anndata", "pandas", "numpy"} & found
