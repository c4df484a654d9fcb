"""`make report`: a page for every run, also where the data choose the layers; none without it."""

from harness import ROOT, SMALL, Workflow
from nmf_workflow.config import load
from nmf_workflow.params import SIZES, TABLES, drawn, judged
from nmf_workflow.shown import KINDS, kind_of

CAPTIONS = ROOT / "workflow" / "report"
SETS = ROOT / "resources" / "blood_markers.gmt"
RUNS = {"mine": {"layers": [4, 2]}, "chosen": {"layers": "auto", "sizes": [2, 4]}}


def test_only_where_it_is_asked_for(real: Workflow):
    assert "write_report" not in real.plan(config={**SMALL, "runs": RUNS})
    jobs = real.run("reports", "--dry-run", config={**SMALL, "runs": RUNS}).jobs
    assert jobs["write_report"] == 2 and jobs["choose_layers"] == 1
    assert not any(rule.startswith("plot") for rule in jobs)


def test_other_labels_write_it_again_and_do_not_fit(stubbed: Workflow):
    (stubbed.folder / "mine.h5ad").touch()
    config = {**SMALL, "samples": {"mine": {"input": "mine.h5ad"}}, "device": "cpu"}
    stubbed.run("reports", config=config)
    config["samples"]["mine"]["labels"] = "celltype"
    jobs = stubbed.plan("reports", config=config)
    assert jobs["write_report"] == 1 and not any(rule.startswith("train") for rule in jobs)


def test_no_picture_is_without_a_caption():
    """Every picture that is drawn and every table that judges programs is shown."""
    columns = {"labels": "celltype", "condition": "state", "gene_sets": str(SETS)}
    samples = {"own": {"input": __file__, **columns}, "sim": {"simulate": {}}}
    tables = [judged(sample) for sample in load({"samples": samples}).samples.values()]
    of_kinds = [*drawn(3).values(), *(names for table in tables for names in table.values()), SIZES]
    names = {name for names in of_kinds for name in names}
    pictures = {name for name in names if name.endswith(".png")}
    plain = {"sizes.tsv", *(name for table in tables for kind in table.values() for name in kind)}
    shown = pictures | {name for name in plain if name.endswith(".tsv") and name != "truth.tsv"}
    shown |= {f"{table}.tsv" for table in TABLES} | {"report.html", "programs_l1.tsv"}
    found = {name: kind_of(name) for name in shown}
    assert [name for name, kind in found.items() if kind is None] == []
    assert set(found.values()) == set(KINDS.values())
    captions = {path.stem: path.read_text(encoding="utf-8") for path in CAPTIONS.glob("*.rst")}
    assert set(captions) == {kind.caption for kind in KINDS.values()}
    assert min(map(len, captions.values())) > 60
