"""Write the cells of a model as cellxgene and scanpy's plots want them, and lay them out."""

from neuralNMF.embedding.explore import explore
from neuralNMF.evidence.layer import evidence_of_layers
from neuralNMF.io.dataset import open_dataset
from neuralNMF.io.explore import write_explored
from neuralNMF.io.model import load_model
from neuralNMF.io.tables import write_table
from nmf_workflow.script import run


def main(snakemake):
    """Model and data set in; one file to look at, and the table of the cells' places, out."""
    given, params = snakemake.input, snakemake.params
    model = load_model(given.model)
    evidence = evidence_of_layers(
        model.usages,
        model.betas,
        model.var["symbol"].to_numpy(),
        dead=model.dead,
        gene_scale=model.var["gene_scale"].to_numpy(),
    )
    explored = explore(
        model.obs,
        params.columns,
        model.thetas,
        model.usages,
        model.betas,
        evidence,
        umap=params.umap,
        seed=params.seed,
    )
    write_explored(
        snakemake.output.explore,
        open_dataset(given.dataset),
        model,
        explored.obs,
        places=explored.places,
        colours=explored.colours,
        words=explored.words,
    )
    write_table(explored.table(), snakemake.output.table)


run(main, snakemake)
