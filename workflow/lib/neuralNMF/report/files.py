"""The files beside the report, and what each is for."""

from neuralNMF.report.source import Source

File = dict[str, str]


def files_of(source: Source) -> list[File]:
    """Names and purposes, relative to the folder in which the workflow ran."""
    run, sample = f"results/{source.sample}/{source.run}", f"results/{source.sample}"
    layers = range(1, source.depth + 1)
    placed = source.umap is not None
    there: list[tuple[str, str, bool]] = [
        (f"{run}/layer{source.depth}.h5nnmf", "the model: read it with anndata.read_h5ad", True),
        (f"{run}/programs.tsv", "a row for every program, with all that these cards say", True),
        (
            f"{run}/gene_sets.tsv",
            "gene sets that are over-represented",
            source.gene_sets is not None,
        ),
        (
            f"{run}/agreement.tsv",
            "each layer beside the labels or the truth",
            source.agreement is not None,
        ),
        (
            f"{run}/conditions.tsv",
            "every program's usage between conditions, tested",
            source.conditions is not None,
        ),
        (f"{run}/sizes.tsv", "every size that was tried", source.sizes is not None),
        (f"{run}/layers.json", "the layers that were chosen, and why", source.reason is not None),
        *(
            (f"{run}/programs_l{n}.tsv", f"marker genes of layer {n}, the best first", True)
            for n in layers
        ),
        (f"{run}/programs.gmt", "the programs as gene sets, for other tools", True),
        (f"{run}/tree.png, .pdf", "all layers in one graph, with labels and markers", True),
        (f"{run}/programs.png, .pdf", "which programs to believe, and by what", True),
        *(
            (f"{run}/umap_l{n}.png, .pdf", f"the cells by their usage of layer {n}", placed)
            for n in layers
        ),
        (f"{run}/explore.h5ad", "the cells with all programs, for cellxgene and scanpy", placed),
        *(
            (f"{run}/theta_l{n}.png, .pdf", f"usage of layer {n} by each cell", True)
            for n in layers
        ),
        *(
            (
                f"{run}/violins_l{n}.png, .pdf",
                f"usage of layer {n} in the cells of each label",
                True,
            )
            for n in layers
        ),
        *(
            (
                f"{run}/dots_l{n}.png, .pdf",
                f"marker genes of layer {n}: loading, share of cells",
                True,
            )
            for n in layers
        ),
        *(
            (f"{run}/beta_l{n}_top.png, .pdf", f"marker genes of layer {n} as a heat map", True)
            for n in layers
        ),
        *(
            (f"{run}/hierarchy_l{n}.png, .pdf", f"layer {n - 1} as made up of layer {n}", True)
            for n in layers[1:]
        ),
        (f"{run}/loss.png, .pdf", "the training's loss", True),
        (f"{sample}/dataset.h5ad", "the cells and genes that were used, raw counts", True),
        (f"{sample}/genes.tsv", "every gene, and why it was dropped", True),
        (f"{sample}/cells.tsv", "cells by input and label", True),
    ]
    return [{"name": name, "what": what} for name, what, is_there in there if is_there]
