"""What `make lint` checks."""

import subprocess
import sys

import pytest
from harness import ROOT, Workflow

CODE = ["workflow", "tests", "benchmarks"]


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", *CODE],
        ["ruff", "format", "--check", *CODE],
        ["snakefmt", "--check", "Snakefile", "workflow/rules"],
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_format_and_lint(command: list[str]):
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr + "\nrepair it with: make format"


def test_types():
    """What is checked, and how strictly, is in pyproject.toml."""
    done = subprocess.run([sys.executable, "-m", "mypy"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_snakemake_lint(real: Workflow):
    assert "good condition" in real.run("--lint").text


def test_snakefile_and_common_stay_short():
    assert len((ROOT / "Snakefile").read_text().splitlines()) < 60
    assert len((ROOT / "workflow/rules/common.smk").read_text().splitlines()) < 150
