"""Whether the devices that the config asks for are here, before any work."""

import subprocess
from collections.abc import Iterable

from nmf_workflow.environment import INTERPRETER

# In a process of its own: torch takes seconds to load, and what it starts does not survive a fork.
PROBE = """
import sys

try:
    from neuralNMF.device import resolve_device
except ImportError:
    sys.exit(0)  # torch is in another environment; the fit itself will say
from neuralNMF.errors import NeuralNMFError

try:
    for name in sys.argv[1:]:
        resolve_device(name)
except NeuralNMFError as error:
    sys.exit(str(error))
"""


def missing_device(names: Iterable[str]) -> str | None:
    """The sentence about the first device asked for that this machine lacks, None if there is none.

    Parameters
    ----------
    names
        Devices as in the config; ``auto`` and ``cpu`` are always here.
    """
    asked = sorted(set(names) - {"auto", "cpu"})
    if not asked:
        return None
    probe = subprocess.run([INTERPRETER, "-c", PROBE, *asked], capture_output=True, text=True)
    return probe.stderr.strip() if probe.returncode else None
