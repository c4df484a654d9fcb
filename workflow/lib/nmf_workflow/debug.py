"""One job's script in this very process, where a debugger can stop.

Run it as ``python -m nmf_workflow.debug results/sim/main/layer1.h5nnmf``. Snakemake runs a script
in a process of its own, out of reach of pdb and of an IDE's breakpoints. Here it only plans: the
script gets the same ``snakemake`` object, but its outputs and its log go to a folder aside, so that
nothing of the workflow's own is overwritten or takes part in reruns.
"""

from __future__ import annotations

import argparse
import os
import pdb
import pickle
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snakemake.iocontainers import Snakemake

SNAKEFILE = Path(__file__).parents[3] / "Snakefile"


class DebugError(ValueError):
    """What was asked for cannot be debugged; one sentence."""


def plan(target: str, directory: Path, configfiles: Sequence[Path]) -> tuple[Path, Snakemake]:
    """The script that makes a file, and the object that it gets.

    Parameters
    ----------
    target
        Path of the file, relative to ``directory``, as a rule of the workflow names it.
    directory
        The folder in which the workflow runs.
    configfiles
        As after ``--configfile``; empty for the example's.

    Returns
    -------
    script
        Path of the script.
    snakemake
        Inputs, outputs, params, wildcards, threads, resources and log of the job.

    Raises
    ------
    DebugError
        No job with a script makes the file, or Snakemake cannot plan it.
    """
    # Imported here, since a job that imports this package has no use for them.
    from snakemake.api import SnakemakeApi
    from snakemake.exceptions import RuleException, WorkflowError
    from snakemake.settings.enums import Quietness
    from snakemake.settings.types import (
        ConfigSettings,
        DAGSettings,
        OutputSettings,
        ResourceSettings,
    )

    quiet = OutputSettings(quiet={Quietness.ALL}, enable_file_logging=False)
    with SnakemakeApi(quiet) as api:
        try:
            workflow = api.workflow(
                ResourceSettings(cores=os.cpu_count()),
                config_settings=ConfigSettings(configfiles=configfiles),
                snakefile=SNAKEFILE,
                workdir=directory,
            )
            workflow.dag(DAGSettings(targets={target})).execute_workflow(executor="dryrun")
        except (RuleException, WorkflowError) as error:
            api.print_exception(error)
            raise DebugError(f"Snakemake cannot plan {target}; it says why above.") from error
        # Snakemake's interface for programs ends here: it has no public way to a job.
        jobs = [job for job in workflow._workflow.dag.jobs if target in job.output]
        if not jobs or jobs[0].rule.script is None:
            raise DebugError(f"No script makes {target}: name an output of a job.")
        job = jobs[0]
        script = job.rule.basedir.join(job.rule.script).get_path_or_uri(secret_free=True)
        return Path(os.path.normpath(script)), as_the_script_gets_it(job)


def as_the_script_gets_it(job: Any) -> Snakemake:
    """The ``snakemake`` object of a job, through pickle as under Snakemake."""
    from snakemake.iocontainers import Snakemake

    given = Snakemake(
        job.input,
        job.output,
        job.params,
        job.wildcards,
        job.threads,
        job.resources,
        job.log,
        job.rule.workflow.config,
        job.rule.name,
        None,
    )
    return pickle.loads(pickle.dumps(given))


def put_aside(snakemake: Snakemake, folder: Path) -> None:
    """Let outputs and log lie below a folder, under the paths that they have in the workflow."""
    from snakemake.iocontainers import Log, OutputFiles

    snakemake.output = OutputFiles(
        toclone=snakemake.output, custom_map=lambda path: str(folder / path)
    )
    snakemake.log = Log(toclone=snakemake.log, custom_map=lambda path: str(folder / path))
    for path in snakemake.output:
        Path(path).parent.mkdir(parents=True, exist_ok=True)


def run_here(script: Path, snakemake: Snakemake, *, post_mortem: bool = False) -> None:
    """Run a script in this process, with ``snakemake`` as a global of its own.

    Parameters
    ----------
    script
        Its path; breakpoints in this file hold.
    snakemake
        The object that Snakemake would put into it.
    post_mortem
        Open pdb where the script failed.

    Raises
    ------
    SystemExit
        The script failed; its log and stderr say why.
    """
    try:
        runpy.run_path(str(script), init_globals={"snakemake": snakemake}, run_name="__main__")
    except SystemExit as end:
        # What every script is run by turns an exception into an exit; the exception is its context.
        if post_mortem and end.__context__ is not None:
            pdb.post_mortem(end.__context__.__traceback__)
        raise


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="python -m nmf_workflow.debug", description=__doc__)
    parser.add_argument("target", help="a file that a rule makes, as data/sim.h5")
    parser.add_argument("--configfile", nargs="+", type=Path, default=[], help="as Snakemake's")
    parser.add_argument("--directory", type=Path, default=Path(), help="as Snakemake's")
    parser.add_argument(
        "--aside",
        type=Path,
        default=Path("debug"),
        help="folder for outputs and log, relative to the directory (default: debug)",
    )
    parser.add_argument("--pdb", action="store_true", help="open pdb where the script fails")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> None:
    """Find the job, check that its inputs are there, and run its script."""
    asked = parse(arguments)
    directory = asked.directory.absolute()
    configfiles = [path.absolute() for path in asked.configfile]
    script, snakemake = plan(asked.target, directory, configfiles)
    os.chdir(directory)
    if missing := [path for path in snakemake.input if not Path(path).exists()]:
        raise DebugError(f"Inputs are missing; make them first: snakemake {' '.join(missing)}")
    put_aside(snakemake, asked.aside)
    sys.stderr.write(f"{script} writes {' '.join(snakemake.output)}\n")
    run_here(script, snakemake, post_mortem=asked.pdb)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except DebugError as error:
        sys.exit(str(error))
