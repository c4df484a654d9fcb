# What all rules share: the checked config, and the wildcards that stand for its names.
import re

import neuralNMF
from nmf_workflow.config import ConfigError, load
from nmf_workflow.params import Plan, depth, simulated, targets

try:
    CONFIG = load(config)
except ConfigError as error:
    raise WorkflowError(str(error)) from None

PLAN = Plan(CONFIG)

# A param of every rule that computes numbers: an upgrade of the library reruns what it touches.
VERSION = neuralNMF.__version__

# The fits share the machine: more threads than this gain little.
MAX_THREADS = 8


def one_of(names):
    """A pattern of exactly these names, or one that nothing matches."""
    return "|".join(map(re.escape, names)) or r"(?!)"


wildcard_constraints:
    sample=one_of(CONFIG.samples),
    run=one_of(CONFIG.runs),
    layer=r"[0-9]+",
