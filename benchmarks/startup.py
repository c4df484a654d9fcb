"""What a job costs before it does anything, and the wall time of the whole example.

Of each script: its imports, and Snakemake's own that Snakemake puts before them, in a process of
their own. Of Snakemake: its start up to the plan, which is what it costs once on one machine and
for every job on a cluster. Of the example: `config.yaml` again, with the loops compiled and no
output there. Processor seconds (user and system) beside wall seconds, the least of several turns,
since other work on the machine adds to both.
"""

import ast
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common import folders, save

ROOT = Path(__file__).parents[1]
# What Snakemake puts before every script in Python.
PREAMBLE = (
    "import pickle\n"
    "from snakemake.logging import logger\n"
    "from snakemake.iocontainers import Snakemake\n"
)
TURNS = 7
CORES = 2


def cost(command: Sequence[str | Path], turns: int = TURNS) -> dict[str, float]:
    """The least processor and wall seconds of a command, the processes that it starts included."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "workflow" / "lib")}
    processor, wall = [], []
    for _ in range(turns):
        begin, before = time.perf_counter(), os.times()
        subprocess.run([*map(str, command)], check=True, capture_output=True, env=environment)
        after = os.times()
        wall.append(time.perf_counter() - begin)
        processor.append(
            after.children_user
            + after.children_system
            - before.children_user
            - before.children_system
        )
    return {"processor_seconds": round(min(processor), 3), "wall_seconds": round(min(wall), 3)}


def imports(script: Path) -> str:
    """What a script's process runs before its work."""
    tree = ast.parse(script.read_text(encoding="utf-8"))
    lines = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    return PREAMBLE + "\n".join(map(ast.unparse, lines))


def main() -> None:
    _, out = folders()
    python = sys.executable
    figures = {
        "python": cost([python, "-c", ""]),
        "before every script": cost([python, "-c", PREAMBLE]),
    }
    for script in sorted((ROOT / "workflow" / "scripts").glob("*.py")):
        figures[script.stem] = cost([python, "-c", imports(script)])
    snakemake = [python, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--cores", CORES]
    with tempfile.TemporaryDirectory() as folder:
        everything = [*snakemake, "--directory", folder]
        figures["snakemake, to the plan"] = cost([*everything, "--dry-run"])
        cost(everything, turns=1)  # compiles the loops
        figures["example"] = cost([*everything, "--forceall"], turns=3)
    save(out, "startup", figures)


main()
