"""The script of the report: from the files of a run to the page."""

import json
from types import SimpleNamespace

import pandas as pd
import pytest
from helpers import Named, fake_snakemake, run_script
from neuralNMF.io.dataset import write_dataset
from neuralNMF.io.model import Model, save_model
from neuralNMF.io.tables import write_table
from nmf_workflow.params import RUN_TABLES
from reports import small_source


@pytest.fixture
def rule(tmp_path):
    """Run the script as a rule would on the files of a small run; what it returns is its log."""
    source = small_source()
    names = [f"ENSG{gene}" for gene in range(60)]
    var = pd.DataFrame({"symbol": source.symbols, "gene_scale": 1.0}, index=names)
    model = Model(
        list(source.thetas), list(source.betas), list(source.dead), source.obs,
        var, source.history.assign(mse=1.0), dict(source.info),
    )  # fmt: skip
    save_model(tmp_path / "layer2.h5nnmf", model)
    write_dataset(tmp_path / "dataset.h5ad", source.counts, source.obs, None, dict(source.dataset))
    places = {"cell": source.obs.index, "l1_umap1": range(240), "l1_umap2": range(240)}
    write_table(pd.DataFrame(places), tmp_path / "umap.tsv")
    for name in (*RUN_TABLES, "genes", "sizes"):
        write_table(getattr(source, name), tmp_path / f"{name}.tsv")

    def run(*, chosen=True, placed=False, tables=RUN_TABLES) -> str:
        snakemake = fake_snakemake(
            tmp_path / "log.txt",
            inputs=Named(
                model=str(tmp_path / "layer2.h5nnmf"),
                dataset=str(tmp_path / "dataset.h5ad"),
                genes=str(tmp_path / "genes.tsv"),
                tables=[str(tmp_path / f"{table}.tsv") for table in tables],
                sizes=[str(tmp_path / "sizes.tsv")] if chosen else [],
                umap=[str(tmp_path / "umap.tsv")] if placed else [],
            ),
            outputs=Named(str(tmp_path / "report.html")),
            params=Named(
                labels={"label": "celltype", "coarse_label": "lineage"},
                groups={"condition": "treatment"} if "conditions" in tables else {},
            ),
        )
        snakemake.wildcards = SimpleNamespace(sample="blood", run="main")
        run_script("write_report.py", snakemake)
        return (tmp_path / "log.txt").read_text()

    return run


def test_the_page(rule, tmp_path):
    assert rule() == ""
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "240 cells and 60 of 62 genes of blood were used." in page
    assert "Layer 1: 4 programs (5 asked for)." in page
    assert "Sizes of layer 1 that were tried" in page
    assert "Between conditions</h4>" in page and "Used more in" in page
    assert "cells with too few counts" in page.lower()
    data = json.loads(page.split('id="data">')[1].split("</script>")[0])
    assert set(data["cells"]["genes"]) >= {"CD3D", "IGHV1-2*02"}


def test_a_run_with_given_layers(rule, tmp_path):
    rule(chosen=False, tables=["programs"])
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "that were tried" not in page and "Gene sets</h4>" not in page


def test_a_run_with_a_umap(rule, tmp_path):
    rule(placed=True)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "UMAP of the usage of layer 1" in page and "principal components" not in page


def test_what_is_missing_ends_in_one_sentence(rule, tmp_path):
    (tmp_path / "programs.tsv").unlink()
    with pytest.raises(SystemExit) as end:
        rule()
    assert end.value.code == 1
    log = (tmp_path / "log.txt").read_text()
    assert "programs.tsv" in log and "Traceback" not in log
    assert not (tmp_path / "report.html").exists()
