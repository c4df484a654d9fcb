# What all rules share: the checked config, and the wildcards that stand for its names.
import neuralNMF
from nmf_workflow import ending
from nmf_workflow.config import ConfigError, load
from nmf_workflow.devices import missing_device
from nmf_workflow.locks import announce, keep_record, unlock_the_dead
from nmf_workflow.params import (
    PROJECTED,
    Plan,
    depth,
    evidence_rules,
    one_of,
    picture_rules,
    reports,
    searched,
    simulated,
    targets,
)
from nmf_workflow.parts import PartPlan, in_one, in_parts
from nmf_workflow.resources import Needs, mem_mb, runtime
from nmf_workflow.shown import shown

try:
    CONFIG = load(config, workflow.configfiles)
except ConfigError as error:
    # Not a WorkflowError: Snakemake would add file and line of this raise, which say nothing to the
    # one who wrote the config.
    sys.exit(f"The config cannot be used:\n{error}")

if workflow.is_main_process:
    unlock_the_dead()
    announce()

PLAN = Plan(
    CONFIG,
    # Where the data choose a run's layers, the jobs of the choice come first.
    chosen=lambda sample, run: checkpoints.choose_layers.get(sample=sample, run=run).output.layers,
)
PARTS = PartPlan(CONFIG)
NEEDS = Needs(CONFIG)

# A param of every rule that computes numbers: an upgrade of the library reruns what it touches.
VERSION = neuralNMF.__version__

# The fits share the machine: more threads than this gain little.
MAX_THREADS = 8


wildcard_constraints:
    sample=one_of(CONFIG.samples),
    run=one_of(CONFIG.runs),
