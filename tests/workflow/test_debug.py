"""`python -m nmf_workflow.debug`: a job's script where a debugger reaches it."""

import subprocess
import sys

import numpy as np
from harness import ROOT, SMALL, Workflow, clean_environment

MODULE = ["-m", "nmf_workflow.debug"]


def debug(workflow: Workflow, *command: str, typed: str = "") -> subprocess.CompletedProcess:
    """Run Python with the helper, in the folder of a workflow that has a config `mine.yaml`."""
    environment = clean_environment(workflow.folder)
    environment["PYTHONPATH"] = str(ROOT / "workflow" / "lib")
    return subprocess.run(
        [sys.executable, *command, "--configfile", "mine.yaml"],
        cwd=workflow.folder,
        env=environment,
        input=typed,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_a_breakpoint_in_a_script_holds_and_the_result_is_the_job_s(real: Workflow):
    real.run("data/tiny.npz", config=SMALL)
    made = (real.folder / "data" / "tiny.npz").read_bytes()
    script = ROOT / "workflow" / "scripts" / "simulate.py"
    lines = script.read_text().splitlines()
    inside = 1 + next(i for i, line in enumerate(lines) if line.startswith("    save_simulation"))
    typed = "\n".join(
        [
            f"break {script}:{inside}",
            "continue",
            "p ('here', params.cells, snakemake.rule, simulation.counts.shape)",
            "continue",
            "quit",
            "",
        ]
    )
    done = debug(real, "-m", "pdb", *MODULE, "data/tiny.npz", typed=typed)
    assert "('here', 60, 'simulate', (60, 80))" in done.stdout, done.stdout + done.stderr
    assert (real.folder / "debug" / "data" / "tiny.npz").stat().st_size == len(made)
    assert (real.folder / "debug" / "logs" / "tiny" / "simulate.log").is_file()
    # The workflow's own file is as it was, and nothing is to be done again.
    assert (real.folder / "data" / "tiny.npz").read_bytes() == made
    assert real.plan("data/tiny.npz", config=SMALL) == {}


def test_post_mortem_stops_where_the_script_failed(real: Workflow):
    real.configure(SMALL)
    (real.folder / "data").mkdir()
    # A simulation by its looks, without counts.
    np.savez(real.folder / "data" / "tiny.npz", theta=0, beta=0, parameters=0)
    done = debug(real, *MODULE, "data/tiny.h5", "--pdb", typed="up\nwhere\nquit\n")
    assert done.returncode == 1
    assert "(Pdb)" in done.stdout
    assert "load_simulation" in done.stdout
    assert not (real.folder / "debug" / "data" / "tiny.h5").exists()


def test_what_cannot_be_debugged_is_one_sentence(real: Workflow):
    real.configure(SMALL)
    missing = debug(real, *MODULE, "data/tiny.h5")
    assert missing.returncode == 1
    assert missing.stderr.strip().splitlines()[-1] == (
        "Inputs are missing; make them first: snakemake data/tiny.npz"
    )
    unknown = debug(real, *MODULE, "data/other.h5")
    assert unknown.returncode == 1
    assert "Snakemake cannot plan data/other.h5" in unknown.stderr
    assert "Traceback" not in unknown.stderr
