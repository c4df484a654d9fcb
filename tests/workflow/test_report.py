"""`make report`: a page for every run, also where the data choose the layers; none without it."""

from harness import SMALL, Workflow

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
