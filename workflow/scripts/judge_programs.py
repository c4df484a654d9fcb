"""Judge the programs of all layers in one table, and the layers by labels or the truth."""

from neuralNMF.batches.factors import batch_of_cells
from neuralNMF.evidence.programs import judge_programs
from neuralNMF.evidence.run import Origins, tables_of_run
from neuralNMF.io.figures import save_figure
from neuralNMF.io.gene_sets import read_gene_sets
from neuralNMF.io.model import load_model
from neuralNMF.io.simulation import load_truth
from neuralNMF.io.tables import write_table
from neuralNMF.labels import label_column, label_names
from neuralNMF.plots.truth import plot_truth
from neuralNMF.plots.verdict import plot_programs
from neuralNMF.survey.columns import origins
from nmf_workflow.script import run


def main(snakemake):
    """Model in; programs.tsv out, and what else the rule asks for."""
    given, output, params = snakemake.input, snakemake.output, snakemake.params
    model = load_model(given.model)
    obs, symbols = model.obs, model.var["symbol"].to_numpy()
    cells = Origins(
        obs["total_counts"].to_numpy(),
        obs["dataset"].astype(str).to_numpy(),
        {name: label_names(label_column(obs, column)) for name, column in params.labels.items()},
        {key: batch_of_cells(obs, column) for key, column in params.groups.items()},
        origins(obs, {*params.labels.values(), *params.groups.values()}),
    )
    scale = model.var["gene_scale"].to_numpy()
    tables = tables_of_run(
        judge_programs(
            model.thetas, model.usages, model.betas, symbols, dead=model.dead, gene_scale=scale
        ),
        cells,
        gene_sets=read_gene_sets(given.gene_sets) if given.gene_sets else None,
        truth=load_truth(given.truth[0], obs.index, model.var.index) if given.truth else None,
        replication=None if model.replication.empty else model.replication,
    )
    for kind in ("programs", "gene_sets", "conditions", "agreement"):
        if output.get(kind):
            write_table(getattr(tables, kind), output.get(kind)[0])
    save_figure(plot_programs(tables.programs), *output.overview)
    if tables.truth is not None:
        save_figure(plot_truth(tables.truth), *output.truth[:2])
        write_table(tables.truth, output.truth[2])


run(main, snakemake)
