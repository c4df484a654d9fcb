"""Simulated counts with their truth: ``data/{sample}.npz``."""

import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
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
    with _opened(path) as saved:
        counts = sp.csr_matrix(
            (saved["data"], saved["indices"], saved["indptr"]), shape=tuple(saved["shape"])
        )
        parameters = json.loads(str(saved["parameters"]))
        return Simulation(counts.toarray(), saved["theta"], saved["beta"], parameters)


def cell_names(cells: int) -> list[str]:
    """Names of simulated cells in counts files, the original's: 0, 1, ..."""
    return [str(number) for number in range(cells)]


def gene_names(genes: int) -> list[str]:
    """Names of simulated genes in counts files, the original's: c0, c1, ..."""
    return [f"c{number}" for number in range(genes)]


def load_truth(
    path: str | Path, cells: Sequence[str], genes: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Read the true usage and programs of some of the simulated cells and genes.

    Parameters
    ----------
    path : str or Path
        What `save_simulation` wrote.
    cells, genes : sequence of str
        Names of N cells and M genes, as in the data set that was made of the simulation.

    Returns
    -------
    theta : ndarray, (N, K)
    beta : ndarray, (K, M)

    Raises
    ------
    InputError
        The file is missing or broken, or was made of other cells or genes.
    """
    with _opened(path) as saved:
        theta, beta = saved["theta"], saved["beta"]
    row = {name: number for number, name in enumerate(cell_names(len(theta)))}
    column = {name: number for number, name in enumerate(gene_names(beta.shape[1]))}
    try:
        return theta[[row[name] for name in cells]], beta[:, [column[name] for name in genes]]
    except KeyError as error:
        raise InputError(
            f"'{path}' does not hold {error} of the data set: simulate again, and make the data "
            "set of that."
        ) from error


@contextmanager
def _opened(path: str | Path) -> Iterator[Mapping[str, np.ndarray]]:
    path = Path(path)
    if not path.is_file():
        raise InputError(f"There is no simulation '{path}': run the rule simulate first.")
    try:
        with path.open("rb") as file, np.load(file) as saved:
            yield saved
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError) as error:
        raise InputError(
            f"'{path}' is not a whole simulation file ({error}): delete it and simulate again."
        ) from error
