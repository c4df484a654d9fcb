"""Simulated counts with their truth: ``data/{sample}.npz``."""

import json
import zipfile
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from neuralNMF.errors import InputError
from neuralNMF.io.atomic import atomic_path
from neuralNMF.simulate import Simulation


def save_simulation(path: str | Path, simulation: Simulation, **parameters: object) -> None:
    """Write simulated counts and their truth as NumPy's ``.npz``; same simulation, same bytes.

    The arrays in the file: the counts as CSR (``data``, ``indices``, ``indptr``, ``shape``),
    ``theta``, ``beta``, and ``parameters`` as JSON text.

    Parameters
    ----------
    path : str or Path
        Of the file.
    simulation : Simulation
        What `neuralNMF.simulate.simulate` drew.
    **parameters
        JSON types (the seed, say), added to those of the simulation.
    """
    counts = sp.csr_matrix(simulation.counts)
    with atomic_path(path) as temporary:
        np.savez_compressed(
            temporary,
            data=counts.data,
            indices=counts.indices,
            indptr=counts.indptr,
            shape=np.array(counts.shape),
            theta=simulation.theta,
            beta=simulation.beta,
            parameters=np.array(json.dumps(simulation.parameters | parameters, sort_keys=True)),
        )


def load_simulation(path: str | Path) -> Simulation:
    """Read what `save_simulation` wrote; raise InputError where it is missing or broken."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"There is no simulation '{path}': run the rule simulate first.")
    try:
        with path.open("rb") as file, np.load(file) as saved:
            counts = sp.csr_matrix(
                (saved["data"], saved["indices"], saved["indptr"]), shape=tuple(saved["shape"])
            )
            parameters = json.loads(str(saved["parameters"]))
            return Simulation(counts.toarray(), saved["theta"], saved["beta"], parameters)
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError) as error:
        raise InputError(
            f"'{path}' is not a whole simulation file ({error}): delete it and simulate again."
        ) from error
