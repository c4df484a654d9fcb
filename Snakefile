# Multi-layer NMF of single-cell counts: simulate or read, select genes, fit layer by layer, draw.
import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

min_version("9.20")

# The one place that makes the library importable: here, in every job's parse of this file, and (by
# PYTHONPATH, which jobs inherit) in scripts under an environment of their own.
LIBRARY = str(Path(workflow.basedir, "workflow", "lib"))
sys.path.insert(0, LIBRARY)
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [LIBRARY, os.environ.get("PYTHONPATH")]))


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
