"""Multi-layer non-negative matrix factorization of cell x gene counts.

The names below are imported on first use, so that ``import neuralNMF`` costs nothing and the
modules without torch (files, simulation) can be used where torch is not installed.
"""

from importlib import import_module
from typing import Any

__version__ = "0.2.0"

_EXPORTS = {
    "generate_data": "neuralNMF.simulate",
    "create_dataset": "neuralNMF.prototype",
    "create_model": "neuralNMF.prototype",
    "plot_gene_loading": "neuralNMF.prototype",
    "open_dataset": "neuralNMF.io.dataset",
    "load_model": "neuralNMF.io.model",
    "add_layer": "neuralNMF.consensus.fit",
    "fit_layer": "neuralNMF.fit",
    "project": "neuralNMF.new_cells.project",
    "save_model": "neuralNMF.io.model",
    "LayerOptions": "neuralNMF.options",
    "InputError": "neuralNMF.errors",
    "NeuralNMFError": "neuralNMF.errors",
}

__all__ = sorted([*_EXPORTS, "__version__"])


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
