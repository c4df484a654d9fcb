"""Snakemake in a process of its own, in a working folder of the test's own."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml
from forks import run_snakemake

ROOT = Path(__file__).parents[2]

# What the workflow consists of; everything else in the checkout is for developers.
PARTS = ("Snakefile", "config.yaml", "configs", "envs", "workflow", "profiles")

SECONDS = 600  # of one run of Snakemake

# Stands for every script: what each job got is in its outputs.
STUB = """\
from pathlib import Path

for path in snakemake.output:
    Path(path).write_text(f"{snakemake.rule} {snakemake.input} {dict(snakemake.params)}")
"""

SMALL = {
    "samples": {"tiny": {"simulate": {"cells": 60, "genes": 80, "programs": 3}}},
    "layers": [4, 2],
    "epochs": 5,
    "device": "cpu",
}


@dataclass
class Result:
    """How a run of Snakemake ended."""

    status: int
    text: str

    @property
    def jobs(self) -> dict[str, int]:
        """Jobs by rule, from the table that Snakemake prints; `all` is left out."""
        tables = re.findall(r"^job +count\n-+ +-+\n((?:\S+ +\d+\n)+)", self.text, re.MULTILINE)
        rows = [line.split() for line in tables[0].splitlines()] if tables else []
        return {rule: int(count) for rule, count in rows if rule not in ("all", "total")}


@dataclass
class Workflow:
    """A copy of the workflow, a working folder, and the Python that runs Snakemake."""

    source: Path
    folder: Path
    python: Path = Path(sys.executable)

    def configure(self, config: dict, name: str = "mine.yaml") -> Path:
        """Write a config file into the working folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / name
        path.write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")
        return path

    def run(self, *arguments: str | Path, config: dict | None = None, check: bool = True) -> Result:
        """Run Snakemake to the end; with `check`, a failure fails the test."""
        command = ["--snakefile", self.source / "Snakefile", "--directory", self.folder]
        if not {"--dry-run", "--lint", "--workflow-profile"} & set(arguments):
            command += ["--cores", "2"]
        command += arguments
        if config is not None:
            command += ["--configfile", self.configure(config)]
        words, environment = [*map(str, command)], clean_environment(self.folder)
        if self.python == Path(sys.executable):
            status, text = run_snakemake(words, self.folder.parent, environment, SECONDS)
        else:
            done = subprocess.run(
                [str(self.python), "-m", "snakemake", *words],
                cwd=self.folder.parent,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                timeout=SECONDS,
            )
            status, text = done.returncode, done.stdout
        assert not check or status == 0, text
        return Result(status, text)

    def plan(self, *arguments: str | Path, config: dict | None = None) -> dict[str, int]:
        """The jobs that would run."""
        return self.run("--dry-run", *arguments, config=config).jobs


def clean_environment(folder: Path) -> dict[str, str]:
    """The environment of a user who has nothing set for Snakemake or Python."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SNAKEMAKE")}
    for key in ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "PYTEST_CURRENT_TEST"):
        kept.pop(key, None)
    kept.pop("COVERAGE_PROCESS_START", None)
    # Snakemake keeps copies of sources below it; tests side by side must not share them.
    return {**kept, "XDG_CACHE_HOME": str(folder.parent / ".cache")}


def copy_workflow(target: Path) -> Path:
    """Copy what the workflow consists of."""
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
    target.mkdir(parents=True)
    for name in PARTS:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target / name, ignore=ignore)
        elif (ROOT / name).exists():
            shutil.copy2(ROOT / name, target / name)
    return target


def stub_scripts(source: Path) -> None:
    """Let every script only say what it got: what runs when is tested without any numbers."""
    for script in (source / "workflow" / "scripts").glob("*.py"):
        script.write_text(STUB, encoding="utf-8")
