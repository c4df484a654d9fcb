"""Draw the cells in the plane, by their labels, main programs and usage."""

import numpy as np
from neuralNMF.io.explore import read_looks
from neuralNMF.io.figures import save_figure
from neuralNMF.plots.style import named_programs
from neuralNMF.plots.theta import common_limit
from neuralNMF.plots.umap import columns_of, plot_no_umap, plot_umap, plot_umap_programs
from nmf_workflow.script import groups_of, run


def main(snakemake):
    """The file to look at a model with in; two pictures a layer out."""
    params = snakemake.params
    looks = read_looks(snakemake.input.explore)
    depth = sum(name.startswith("program_l") for name in looks.colours)
    shares = {layer: looks.shares(layer) for layer in range(1, depth + 1)}
    limit = common_limit([each.to_numpy() for each in shares.values()])
    for layer, files in enumerate(groups_of(4, snakemake.output.umap), start=params.first):
        look = {"layer": layer, "drawn": looks.words["drawn"]}
        if layer not in looks.places:
            reason = looks.words.get(f"l{layer}", "it was not asked for")
            figures = [plot_no_umap(layer, reason)] * 2
        else:
            there = ~np.isnan(looks.places[layer][:, 0])
            places, obs = looks.places[layer][there], looks.obs[there]
            names = {name: name for name in params.columns} | {f"program_l{layer}": "main program"}
            columns = columns_of(obs, looks.colours, names)
            rng = np.random.default_rng(0)
            programs = named_programs(list(shares[layer]))
            figures = [
                plot_umap(places, columns, rng=rng, **look),
                plot_umap_programs(
                    places, shares[layer][there].to_numpy(), programs, limit=limit, **look
                ),
            ]
        for figure, both in zip(figures, groups_of(2, files), strict=True):
            save_figure(figure, *both)


run(main, snakemake)
