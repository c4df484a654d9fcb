"""Write the report of a run: one page for people, with all that is known of its programs."""

from pathlib import Path

from neuralNMF.io.dataset import open_dataset
from neuralNMF.io.model import load_model
from neuralNMF.io.pages import write_page
from neuralNMF.io.tables import read_table
from neuralNMF.report.contents import contents_of
from neuralNMF.report.page import page_of
from neuralNMF.report.source import Source
from nmf_workflow.script import run


def main(snakemake):
    """Model, data set and tables in; the page out."""
    given, params = snakemake.input, snakemake.params
    model, dataset = load_model(given.model), open_dataset(given.dataset)
    tables = {Path(path).stem: read_table(path) for path in given.tables}
    source = Source(
        snakemake.wildcards.sample,
        snakemake.wildcards.run,
        model.thetas,
        model.usages,
        model.betas,
        model.dead,
        model.var["symbol"].to_numpy(),
        model.var["gene_scale"].to_numpy(),
        dataset.obs,
        dataset.rows(0, dataset.shape[0]),
        model.info,
        model.history,
        genes=read_table(given.genes),
        dataset=dataset.notes,
        labels=params.labels,
        groups=params.groups,
        sizes=read_table(given.sizes[0]) if given.sizes else None,
        umap=read_table(given.umap[0]) if given.umap else None,
        **tables,
    )
    write_page(page_of(contents_of(source)), snakemake.output[0])


run(main, snakemake)
