"""Whether a file is a simulation that this workflow wrote, told without reading its counts."""

import zipfile
from base64 import urlsafe_b64encode
from pathlib import Path

from neuralNMF.options import SIMULATED


def simulated_files(sample: str) -> tuple[str, str]:
    """The files that the simulation of a sample writes: the truth, and the counts."""
    return f"data/{sample}.npz", f"data/{sample}.h5"


def is_simulated(path: str) -> bool:
    """Whether one of these files is what the simulation writes.

    The counts say so in their last bytes, the truth by what is in it; and Snakemake keeps a record
    of what it has made, files of earlier versions among them.
    """
    record = urlsafe_b64encode(path.encode()).decode()
    return says_so(path) or Path(".snakemake", "metadata", record).is_file()


def says_so(path: str) -> bool:
    """Whether a file itself tells that the simulation wrote it."""
    try:
        if path.endswith(".npz"):
            with zipfile.ZipFile(path) as file:
                return {"theta.npy", "beta.npy", "parameters.npy"} <= set(file.namelist())
        with Path(path).open("rb") as file:
            file.seek(-len(SIMULATED), 2)
            return file.read() == SIMULATED
    except (OSError, zipfile.BadZipFile):
        return False
