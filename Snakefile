# Multi-layer NMF of single-cell counts: simulate or read, select genes, fit layer by layer, draw.
import sys
from pathlib import Path

from snakemake.utils import min_version

min_version("9.20")

# The one place that makes the library importable: for this file, in every job's parse of it, and
# for scripts, also under an environment of their own.
sys.path.insert(0, str(Path(workflow.basedir, "workflow", "lib")))
from nmf_workflow.environment import pass_on, quote_interpreter, share_the_cores

pass_on(sys.path[0])
quote_interpreter()
share_the_cores()


# A config that names samples stands for itself: the example's sample is not mixed in.
if "samples" not in config:

    configfile: str(Path(workflow.basedir, "config.yaml"))


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/plots.smk"


rule all:
    default_target: True
    input:
        targets(CONFIG),
