"""Snakemake that is imported once: each run is a fork of a process that has done so.

Its imports take twice as long as a dry run without them, and the tests have a hundred and more.
"""

import multiprocessing
import os
import runpy
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["snakemake.cli", "snakemake.workflow", "snakemake.executors"])


def _snakemake(arguments: list[str], cwd: Path, env: dict[str, str], output: Path) -> None:
    """What ``python -m snakemake`` does in a folder and an environment of its own."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.dont_write_bytecode = "PYTHONDONTWRITEBYTECODE" in env
    # Without the folders of the tests, which pytest has put there.
    tests = {str(path) for path in (ROOT, ROOT / "tests", ROOT / "tests" / "workflow")}
    sys.path[:] = [str(cwd), *(folder for folder in sys.path if folder not in tests)]
    said = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (said, 1), (said, 2)):
        os.dup2(source, target)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.argv[1:] = arguments
    runpy.run_module("snakemake", run_name="__main__", alter_sys=True)


def run_snakemake(arguments: list[str], cwd: Path, env: dict[str, str], seconds: float):
    """(exit status, what it printed) of a run of Snakemake by this Python."""
    output = Path(env["XDG_CACHE_HOME"], f"said-{os.urandom(8).hex()}.txt")
    output.parent.mkdir(parents=True, exist_ok=True)
    run = _FORKS.Process(target=_snakemake, args=(arguments, cwd, env, output))
    run.start()
    run.join(seconds)
    if run.exitcode is None:
        run.kill()
        run.join()
    text = output.read_text(encoding="utf-8")
    output.unlink()
    assert run.exitcode is not None and run.exitcode >= 0, f"killed after {seconds} s:\n{text}"
    return run.exitcode, text
