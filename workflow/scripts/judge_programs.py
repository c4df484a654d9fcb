"""Judge the programs of all layers in one table, and the layers by labels or the truth."""

import pandas as pd
from neuralNMF.batches.factors import batch_of_cells
from neuralNMF.evidence.agreement import label_agreement
from neuralNMF.evidence.conditions import condition_table
from neuralNMF.evidence.gene_sets import gene_set_table
from neuralNMF.evidence.label_scores import label_scores
from neuralNMF.evidence.mixing import warn_of_batches, warn_of_confounding
from neuralNMF.evidence.programs import Cells, judge_programs, table_of_programs
from neuralNMF.evidence.truth import truth_agreement, truth_table
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
    given, output = snakemake.input, snakemake.output
    model = load_model(given.model)
    obs, symbols = model.obs, model.var["symbol"].to_numpy()
    scale = model.var["gene_scale"].to_numpy()
    columns = snakemake.params.labels
    labels = {name: label_names(label_column(obs, column)) for name, column in columns.items()}
    of_cells = {key: batch_of_cells(obs, column) for key, column in snakemake.params.groups.items()}
    judged = judge_programs(
        model.thetas, model.usages, model.betas, symbols, dead=model.dead, gene_scale=scale
    )
    scores = {
        name: [label_scores(usage, values) for usage in judged.usages]
        for name, values in labels.items()
    }
    sets = None
    if given.gene_sets:
        sets = gene_set_table(judged.markers, symbols, read_gene_sets(given.gene_sets))
        write_table(sets, output.gene_sets[0])
    tested = None
    if "condition" in of_cells:
        names = [layer.names for layer in judged.evidence]
        units = of_cells.get("donor", of_cells.get("batch"))
        tested = condition_table(judged.usages, names, of_cells["condition"], units)
        write_table(tested, output.conditions[0])
    warn_of_confounding(of_cells)
    if "batch" not in of_cells:
        named = {*columns.values(), *snakemake.params.groups.values()}
        found = {name: values for name, values in origins(obs).items() if name not in named}
        warn_of_batches(judged.usages[0], found)
    table = table_of_programs(
        judged,
        Cells(
            obs["total_counts"].to_numpy(),
            obs["dataset"].astype(str).to_numpy(),
            scores,
            {key: of_cells[key] for key in ("batch", "donor") if key in of_cells},
            tested,
        ),
        gene_sets=sets,
        replication=None if model.replication.empty else model.replication,
    )
    write_table(table, output.programs[0])
    save_figure(plot_programs(table), *output.overview)
    if output.get("agreement"):
        agreement = label_agreement(model.thetas, judged.usages, labels, scores, of_cells)
        if given.truth:
            truth = load_truth(given.truth[0], obs.index, model.var.index)
            of_truth = truth_agreement(judged.usages, model.betas, *truth, gene_scale=scale)
            agreement = pd.concat([agreement, of_truth], axis=1)
            alike = truth_table(judged.usages, model.betas, *truth, gene_scale=scale)
            save_figure(plot_truth(alike), *output.truth[:2])
            write_table(alike, output.truth[2])
        write_table(agreement, output.agreement[0])


run(main, snakemake)
