"""The original project's interface: its scripts run as they stand, from any folder.

`create_dataset`, `create_model` with ``.net``, ``.train``, ``.save``, and `plot_gene_loading`;
files under ``{working_dirpath}data`` and ``{working_dirpath}results``. What the workflow offers
beyond that (options, several inputs, several runs) is not repeated here.
"""

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neuralNMF.dataset import DatasetSummary, InputSpec, build_dataset
from neuralNMF.device import resolve_device
from neuralNMF.errors import InputError
from neuralNMF.fit import fit_layer
from neuralNMF.io.dataset import open_dataset
from neuralNMF.io.figures import save_figure
from neuralNMF.io.model import Model, save_model
from neuralNMF.least_squares.network import NeuralNMF
from neuralNMF.options import LayerOptions
from neuralNMF.plots.beta import plot_top_genes
from neuralNMF.plots.style import row_percent

if TYPE_CHECKING:
    import anndata

logger = logging.getLogger(__name__)


def create_dataset(sample: str, working_dirpath: str | Path = "") -> DatasetSummary:
    """Make ``results/{sample}.dataset.h5ad`` of ``data/{sample}`` (.h5, .h5ad or an MTX folder).

    Parameters
    ----------
    sample : str
        Name of the counts without an ending, and of the results.
    working_dirpath : str or Path
        Folder with ``data`` and ``results``; by default the current one.

    Returns
    -------
    DatasetSummary
        The size of the data set, and what was dropped.

    Raises
    ------
    InputError
        There is no such input, or more than one, or it holds no counts.
    """
    work = Path(working_dirpath)
    counts = _find_input(work / "data", sample)
    with _log_to(_result(work, sample, ".log")):
        return build_dataset(
            [InputSpec(counts, sample)],
            _result(work, sample, ".dataset.h5ad"),
            genes_table=_result(work, sample, ".genes.tsv"),
        )


def create_model(
    sample: str,
    data_mem_size: int = 10_000,
    layers: Sequence[int] = (20, 10),
    device: str = "cpu",
    working_dirpath: str | Path = "",
    *,
    seed: int = 0,
) -> "PrototypeModel":
    """Make a model of the data set that `create_dataset` wrote, not yet trained.

    Parameters
    ----------
    sample : str
        As `create_dataset` was given it.
    data_mem_size : int
        Cells held in memory; a larger data set is streamed from its file.
    layers : sequence of int
        Programs of each layer, k_1 ... k_L.
    device : str
        ``cpu``, ``cuda``, ``cuda:1``, ``mps`` or ``auto``.
    working_dirpath : str or Path
        As `create_dataset` was given it.
    seed : int
        Of the random start.

    Returns
    -------
    PrototypeModel
        To be trained and saved.

    Raises
    ------
    InputError
        There is no data set, or a value is out of range.
    DeviceError
        This machine has no such device.
    """
    return PrototypeModel(sample, data_mem_size, layers, device, Path(working_dirpath), seed)


class PrototypeModel:
    """What `create_model` returns.

    Attributes
    ----------
    net : NeuralNMF
        The network, a ``torch.nn.Module``: a random start, after `train` the trained one.
    model : Model or None
        The fitted model, None before `train`.
    """

    def __init__(
        self,
        sample: str,
        data_mem_size: int,
        layers: Sequence[int],
        device: str,
        work: Path,
        seed: int,
    ) -> None:
        if len(layers) == 0:
            raise InputError("layers is empty: give the number of programs of each layer.")
        self.sample = sample
        self.model: Model | None = None
        self._work = work
        self._dataset = open_dataset(_result(work, sample, ".dataset.h5ad"))
        # Checked here too, so that a wrong value ends now and not after hours of training.
        resolve_device(device)
        self._common: dict[str, Any] = {
            "device": device,
            "data_mem_size": data_mem_size,
            "seed": seed,
            "loss": "reconstruction",
            "min_support": 0,
        }
        for rank in layers:
            LayerOptions(rank=rank, **self._common)
        self._layers = list(layers)
        rng = np.random.default_rng(seed)
        sizes = [self._dataset.shape[0], *self._layers]
        self.net = _network([rng.random((n, k)) for n, k in zip(sizes, sizes[1:], strict=False)])

    def train(self, epochs: int = 300, lr: float = 1.0) -> None:
        """Fit layer after layer.

        Parameters
        ----------
        epochs : int
            For each layer at the most.
        lr : float
            Step size; 1 is the full step.
        """
        model: Model | None = None
        with _log_to(_result(self._work, self.sample, ".log")):
            logger.info("%s", self.net)
            for rank in self._layers:
                options = LayerOptions(rank=rank, epochs=epochs, lr=lr, **self._common)
                model = fit_layer(self._dataset, model, options)
        assert model is not None  # there is at least one layer
        self.model = model
        self.net = _network(model.thetas)

    def save(self) -> Path:
        """Write ``results/{sample}.h5nnmf``, return its path; raise InputError before `train`."""
        if self.model is None:
            raise InputError("The model has not been trained: call train() before save().")
        path = _result(self._work, self.sample, ".h5nnmf")
        save_model(path, self.model, inpath=str(_result(self._work, self.sample, "")))
        return path


def plot_gene_loading(
    adata: "anndata.AnnData", col: str = "beta_l1", top_n: int = 10, max_thresh: float = 50
) -> Path:
    """Draw the top genes of each program, with their loadings per 10,000.

    Parameters
    ----------
    adata : AnnData
        A saved model, as ``anndata.read_h5ad`` reads it.
    col : str
        Place of the programs in ``adata.uns``, (M, k): ``beta_l1`` for the first layer.
    top_n : int
        Genes a program.
    max_thresh : float
        End of the colours, per 10,000.

    Returns
    -------
    Path
        Of the picture, ``{stem}_{col}_th_{max_thresh}.png``; the stem is ``adata.uns["inpath"]``.

    Raises
    ------
    InputError
        The model has no such programs.
    """
    columns = [name for name in adata.uns if re.fullmatch(r"beta_l\d+", name)]
    if col not in columns:
        raise InputError(
            f"The model has no gene loadings {col!r}; it has: {', '.join(columns) or 'none'}."
        )
    figure = plot_top_genes(
        row_percent(adata.uns[col].T) / 100,
        np.asarray(adata.var.get("symbol", adata.var_names)),
        layer=int(col.removeprefix("beta_l")),
        top_n=top_n,
        max_thresh=max_thresh,
    )
    path = Path(f"{adata.uns['inpath']}_{col}_th_{max_thresh:g}.png")
    save_figure(figure, path)
    return path


def _network(thetas: Sequence[np.ndarray]) -> NeuralNMF:
    """The network of some Thetas, in the types that a fit has them in."""
    import torch

    first, *others = (torch.tensor(theta) for theta in thetas)
    tensors = [first.to(torch.float32), *(theta.to(torch.float64) for theta in others)]
    return NeuralNMF(tensors, loss="reconstruction")


def _result(work: Path, sample: str, ending: str) -> Path:
    # Not with_suffix: a dot in the sample's name belongs to the name.
    return work / "results" / f"{sample}{ending}"


def _find_input(folder: Path, sample: str) -> Path:
    """The one input of exactly that name: names that only begin so are other samples."""
    paths = [folder / f"{sample}.h5", folder / f"{sample}.h5ad", folder / sample]
    existing = [path for path in paths if path.exists()]
    if not existing:
        raise InputError(
            f"There are no counts of the sample {sample!r}: looked for "
            f"{', '.join(map(str, paths))} (a folder in CellRanger's MTX format)."
        )
    if len(existing) > 1:
        raise InputError(
            f"The counts of the sample {sample!r} stand in {' and '.join(map(str, existing))}: "
            "keep one of them, or rename the others."
        )
    return existing[0]


@contextmanager
def _log_to(path: Path) -> Iterator[None]:
    """Append the library's log to `path`, within the block only: each sample has its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    library = logging.getLogger("neuralNMF")
    level = library.level
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s"))
    library.addHandler(handler)
    if not library.isEnabledFor(logging.INFO):
        library.setLevel(logging.INFO)
    try:
        yield
    finally:
        library.setLevel(level)
        library.removeHandler(handler)
        handler.close()
