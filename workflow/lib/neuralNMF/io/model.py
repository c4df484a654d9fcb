"""The model file: an AnnData file that scanpy reads, with the original's places in ``uns``.

Glossary: N cells, M genes, L layers, k_l programs of layer l, k_0 = N.
"""

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from itertools import accumulate
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from neuralNMF.batches.factors import Batches
from neuralNMF.errors import InputError
from neuralNMF.io.checksums import check_whole
from neuralNMF.io.elements import read_elem, read_table
from neuralNMF.io.faults import BROKEN
from neuralNMF.io.hdf5_image import hdf5_image

# What is kept of the batches beside their factors.
_OF_BATCHES = ("column", "names", "noise", "disagreement")
HISTORY_COLUMNS = {
    "depth": "int64",
    "phase": "object",
    "epoch": "int64",
    "loss": "float64",
    "mse": "float64",
}


@dataclass
class Model:
    """A fitted factorization X ~ Theta_1 Theta_2 ... Theta_L beta_L in canonical form.

    Attributes
    ----------
    thetas : list of ndarray
        Theta_1 (N, k_1): usage of each program in each cell, in the fit's units. Theta_l
        (k_{l-1}, k_l), l >= 2: how fine programs are made up of coarse ones.
    betas : list of ndarray
        beta_l (k_l, M): gene programs. Each row sums to 1; the row of a dead program is 0.
    dead : list of ndarray of bool, (k_l,) each
        Programs that no cell uses; they come last.
    obs : DataFrame
        The data set's cells; its index: the barcodes.
    var : DataFrame
        The data set's genes; its index: the gene ids.
    history : DataFrame
        One row an epoch: depth (layers in training), phase ("start" or "joint"), epoch, loss (per
        matrix entry; of a Poisson model the deviance), mse (mean squared error per matrix entry;
        NaN of a Poisson model).
    info : dict
        Plain JSON types: layers, solver, loss, seed, status, versions, options.
    deviations : list of ndarray, (k_l, M) each
        Posterior standard deviation of beta_l, for each layer of a Poisson matrix factorization;
        of other models, none.
    replication : DataFrame
        Whether the programs are found again, a row a program (`consensus.replication`); empty where
        nobody looked.
    batches : Batches or None
        The factors of the batches' genes; None of a model without batches.
    """

    thetas: list[np.ndarray]
    betas: list[np.ndarray]
    dead: list[np.ndarray]
    obs: pd.DataFrame
    var: pd.DataFrame
    history: pd.DataFrame = field(default_factory=lambda: _typed_history(pd.DataFrame()))
    info: dict[str, Any] = field(default_factory=dict)
    deviations: list[np.ndarray] = field(default_factory=list)
    replication: pd.DataFrame = field(default_factory=pd.DataFrame)
    batches: Batches | None = None

    @property
    def layers(self) -> list[int]:
        """Programs of each layer, [k_1, ..., k_L]."""
        return [theta.shape[1] for theta in self.thetas]

    @property
    def usages(self) -> list[np.ndarray]:
        """U_l = Theta_1 ... Theta_l (N, k_l) for each layer; U_1 is Theta_1 itself."""
        return list(accumulate(self.thetas, np.matmul))

    def fingerprint(self) -> int:
        """A CRC-32 of all factors."""
        parts = [*self.thetas, *self.betas]
        return reduce(lambda crc, part: zlib.crc32(np.ascontiguousarray(part).data, crc), parts, 0)

    def check(self) -> None:
        """Raise InputError if the parts do not fit together."""
        depth = len(self.thetas)
        if depth == 0 or len(self.betas) != depth or len(self.dead) != depth:
            raise InputError(
                f"A model needs as many thetas, betas and dead flags as layers, at least one; "
                f"got {depth}, {len(self.betas)} and {len(self.dead)}."
            )
        if self.deviations and [part.shape for part in self.deviations] != [
            beta.shape for beta in self.betas
        ]:
            raise InputError("The deviations of beta have not the shapes of the betas.")
        if self.batches is not None:
            factors, wanted = self.batches.factors, (len(self.batches.names), len(self.var))
            if factors.shape != wanted or not (np.isfinite(factors) & (factors > 0)).all():
                raise InputError(
                    f"The factors of the batches have the shape {factors.shape}, or are not above "
                    f"0; the model asks for {wanted}."
                )
        rows = len(self.obs)
        for number, (theta, beta, dead) in enumerate(
            zip(self.thetas, self.betas, self.dead, strict=True), start=1
        ):
            rank = theta.shape[-1]
            expected = {"theta": (rows, rank), "beta": (rank, len(self.var)), "dead": (rank,)}
            given = {"theta": theta.shape, "beta": beta.shape, "dead": dead.shape}
            for name, shape in expected.items():
                if given[name] != shape:
                    raise InputError(
                        f"{name}_l{number} has the shape {given[name]}, "
                        f"but the other parts of the model ask for {shape}."
                    )
            rows = rank


def save_model(path: str | Path, model: Model, *, inpath: str | None = None) -> None:
    """Write a model file, whole or not at all; the same model gives the same bytes.

    Parameters
    ----------
    path : str or Path
        Of the file, which ends in ``.h5nnmf``.
    model : Model
        What `fit_layer` returned.
    inpath : str or None
        The stem beside which `plot_gene_loading` writes its pictures (``uns["inpath"]``); by
        default the file's name without its ending, so that no path of the machine is stored.

    Raises
    ------
    InputError
        The parts of the model do not fit together.
    """
    # Only here: most jobs read models, and this takes longer to import than they work.
    from neuralNMF.io.dataset_writer import storable

    model.check()
    path = Path(path)
    parts_of_file = elements(model, path.stem if inpath is None else inpath, cells=True)
    parts_of_file["obs"] = storable(model.obs)
    parts_of_file["obsm"] = {usage_name(n): usage for n, usage in enumerate(model.usages, start=1)}
    with hdf5_image(path) as file:
        write_elements(file, parts_of_file)


def usage_name(layer: int) -> str:
    """The name in ``obsm`` of the cells' usage of a layer's programs, counted from one."""
    return f"X_theta_l{layer}"


def elements(model: Model, inpath: str, *, cells: bool) -> dict[str, Any]:
    """What a model's file holds beside ``obs`` and ``obsm``, for `write_elements`.

    cells: whether Theta_1, which has a row for each cell, is there too.
    """
    from neuralNMF.io.dataset_writer import storable

    uns: dict[str, Any] = {
        "neuralNMF": {key: _encode(value) for key, value in sorted(model.info.items())},
        "history": _typed_history(model.history).set_axis(
            [str(row) for row in range(len(model.history))], axis=0
        ),
        "inpath": inpath,
    }
    if not model.replication.empty:
        uns["replication"] = model.replication.set_axis(
            [str(row) for row in range(len(model.replication))], axis=0
        )
    for number, parts in enumerate(
        zip(model.thetas, model.betas, model.dead, strict=True), start=1
    ):
        theta, beta, dead = parts
        if number > 1 or cells:
            uns[f"theta_l{number}"] = np.ascontiguousarray(theta)
        uns[f"beta_l{number}"] = np.ascontiguousarray(beta.T)
        uns[f"dead_l{number}"] = np.asarray(dead, dtype=bool)
    varm = {f"beta_l{n}": uns[f"beta_l{n}"] for n in range(1, len(model.betas) + 1)} | {
        f"beta_sd_l{n}": np.ascontiguousarray(deviation.T)
        for n, deviation in enumerate(model.deviations, start=1)
    }
    if model.batches is not None:
        uns["batches"] = json.dumps(
            {name: getattr(model.batches, name) for name in _OF_BATCHES}, sort_keys=True
        )
        varm["batch_factors"] = np.ascontiguousarray(model.batches.factors.T)
    # Text is stored as in the data set, so that both files' tables read back alike.
    return {"var": storable(model.var), "varm": varm, "uns": uns}


def write_elements(file: h5py.File, parts: Mapping[str, Any]) -> None:
    """Write parts of an AnnData object, in its own order; what is not named is empty.

    A part that the file has already is left as it is.
    """
    from anndata.io import write_elem

    file.attrs["encoding-type"] = "anndata"
    file.attrs["encoding-version"] = "0.1.0"
    for name in ("obs", "var", "obsm", "varm", "obsp", "varp", "layers", "uns"):
        if name not in file:
            write_elem(file, name, parts.get(name, {}))


def load_model(path: str | Path, cells: slice | None = None) -> Model:
    """Read a model file; raise InputError where it is missing, damaged or none.

    Parameters
    ----------
    path : str or Path
    cells : slice or None
        Which cells, one after the other; None reads all.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"The model file {path} does not exist; train the model first.")
    try:
        check_whole(path)
        with h5py.File(path, "r") as file:
            if "uns/neuralNMF" not in file:
                raise InputError(
                    f"{path} is not a model of this program: it has no uns/neuralNMF "
                    "(the results of a training end in .h5nnmf)."
                )
            model = _read(file, cells)
    except InputError:
        raise
    except BROKEN as error:
        raise InputError(f"The model file {path} is damaged or incomplete: {error}") from error
    try:
        model.check()
    except InputError as error:
        raise InputError(f"The model file {path} is damaged: {error}") from error
    return model


def _read(file: h5py.File, cells: slice | None) -> Model:
    uns = file["uns"]
    depth = sum(1 for name in uns if name.startswith("theta_l"))
    numbers = range(1, depth + 1)
    info = read_elem(uns["neuralNMF"])
    first = uns["theta_l1"][slice(None) if cells is None else cells]
    return Model(
        thetas=[first, *(read_elem(uns[f"theta_l{n}"]) for n in numbers[1:])],
        betas=[np.ascontiguousarray(read_elem(uns[f"beta_l{n}"]).T) for n in numbers],
        dead=[read_elem(uns[f"dead_l{n}"]) for n in numbers],
        obs=read_table(file["obs"], cells),
        var=read_elem(file["var"]),
        history=_typed_history(read_elem(uns["history"]).reset_index(drop=True)),
        info={key: _decode(value) for key, value in info.items()},
        deviations=[
            np.ascontiguousarray(read_elem(file[f"varm/beta_sd_l{n}"]).T)
            for n in numbers
            if f"varm/beta_sd_l{n}" in file
        ],
        replication=(
            read_elem(uns["replication"]).reset_index(drop=True)
            if "replication" in uns
            else pd.DataFrame()
        ),
        batches=_read_batches(file) if "batches" in uns else None,
    )


def _read_batches(file: h5py.File) -> Batches:
    known = json.loads(read_elem(file["uns/batches"]))
    factors = np.ascontiguousarray(read_elem(file["varm/batch_factors"]).T)
    return Batches(factors=factors, **(known | {"names": tuple(known["names"])}))


def _typed_history(history: pd.DataFrame) -> pd.DataFrame:
    """Put the history's columns first, in order and with their types, then any others."""
    columns = [*HISTORY_COLUMNS, *(c for c in history.columns if c not in HISTORY_COLUMNS)]
    return history.reindex(columns=columns).astype(HISTORY_COLUMNS)


def _encode(value: Any) -> Any:
    """Leave scalars and strings as they are, write anything nested (or None) as JSON text."""
    if isinstance(value, str) and not _is_json(value):
        return value
    if isinstance(value, bool | int | float):
        return value
    return json.dumps(value, sort_keys=True)


def _decode(value: Any) -> Any:
    """The value that `_encode` was given."""
    if isinstance(value, str):
        return json.loads(value) if _is_json(value) else value
    return value.item() if isinstance(value, np.generic) else value


def _is_json(text: str) -> bool:
    """Whether `_decode` would read `text` as JSON; such plain strings are quoted by `_encode`."""
    return text.startswith(("{", "[", '"')) or text == "null"
