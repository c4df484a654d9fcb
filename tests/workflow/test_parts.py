"""A data set in several files, from the config to the model: what it makes, and what runs again."""

import numpy as np
from harness import SMALL, Workflow
from helpers import make_adata

CELLS, GENES = 2400, 40  # a range of cells is 2,000 of them at least


def test_parts_make_the_model_of_one_file(real: Workflow):
    real.folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    usage, programs = rng.gamma(0.3, 1.0, (CELLS, 3)), rng.gamma(0.3, 3.0, (3, GENES))
    make_adata(rng.poisson(usage @ programs)).write_h5ad(real.folder / "mine.h5ad")
    samples = {
        "one": {"input": "mine.h5ad"},
        "many": {"input": "mine.h5ad", "dataset": {"parts": 2}},
    }
    config = {**SMALL, "samples": samples, "layers": [3], "consensus": False}
    config["dataset"] = {"variable_genes": 20}
    targets = [f"results/{sample}/main/layer1.h5nnmf" for sample in samples]
    own = {"count_part": 2, "filter_genes": 1, "score_part": 2, "choose_genes": 1}
    own |= {"write_part": 2, "join_dataset": 1}
    assert real.run(*targets, config=config).jobs == {**own, "create_dataset": 1, "train_layer1": 2}
    results = real.folder / "results"
    for name in ("genes.tsv", "main/layer1.h5nnmf"):
        assert (results / "one" / name).read_bytes() == (results / "many" / name).read_bytes()
    assert sorted(path.name for path in (results / "many").rglob("*.h5ad")) == [
        "dataset.h5ad",
        "part-1.h5ad",
        "part-2.h5ad",
    ]
    assert real.plan(*targets, config=config) == {}

    # Other filters do not count again, and a part that is gone is written again, alone.
    filters = {**config, "dataset": {"variable_genes": 20, "min_cells": 3}}
    again = {rule: number for rule, number in own.items() if rule != "count_part"}
    assert real.plan(*targets, config=filters) == {**again, "create_dataset": 1, "train_layer1": 2}
    samples["many"]["dataset"] = {"parts": 3}
    more = {rule: 3 if number == 2 else 1 for rule, number in own.items()}
    assert real.plan(*targets, config=config) == {**more, "train_layer1": 1}
    samples["many"]["dataset"] = {"parts": 2}
    for name in ("dataset/part-2.h5ad", "main/layer1.h5nnmf"):
        (results / "many" / name).unlink()
    assert real.plan(*targets, config=config) == {
        "write_part": 1,
        "join_dataset": 1,
        "train_layer1": 1,
    }
