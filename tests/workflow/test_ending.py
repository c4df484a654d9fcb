"""The five lines that a run ends with, and the line a rule that `--list` prints."""

import re
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from harness import ROOT, SMALL, Workflow
from nmf_workflow import ending

TITLES = ["made", "where", "time", "look at", "doubt"]
FAILED = ["failed", "why", "log", "done", "go on"]


def lines_of(text: str, titles: list[str]) -> dict[str, str]:
    """The five lines of a run's end, wherever they stand in what was printed."""
    width = max(map(len, titles)) + 2
    lines = [rf"^{re.escape(f'{title}:'.ljust(width))}(.+)$" for title in titles]
    found = re.search("\n".join(lines), text, re.MULTILINE)
    assert found, text
    return dict(zip(titles, found.groups(), strict=True))


def job(rule: str, *output: str, log: str = "", benchmark: str = "", **wildcards: str):
    return SimpleNamespace(
        rule=SimpleNamespace(name=rule),
        output=list(output),
        log=[log] if log else [],
        benchmark=benchmark or None,
        wildcards_dict=wildcards,
        is_group=lambda: False,
    )


def group(*jobs):
    return SimpleNamespace(jobs=jobs, is_group=lambda: True)


def workflow(*jobs, failed=(), done=0):
    dag = SimpleNamespace(
        needrun_jobs=lambda exclude_finished: iter(jobs),
        finished=lambda each: each in jobs[:done],
    )
    start = datetime.now() - timedelta(minutes=3, seconds=5)
    return SimpleNamespace(
        dag=dag, scheduler=SimpleNamespace(failed=list(failed)), start_time=start
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "results" / "blood" / "main"
    run.mkdir(parents=True)
    verdicts = ["yes", "no: not replicated, noise", "with care: ribosomal", "with care: stress",
                "with care: no parent"]  # fmt: skip
    rows = [f"1\tP{n}\t{verdict}" for n, verdict in enumerate(verdicts, start=1)]
    rows += ["2\tP1\tyes", "2\tP2\tyes"]
    (run / "programs.tsv").write_text("layer\tprogram\tbelieve\n" + "\n".join(rows) + "\n")
    (run / "hierarchy_l2.png").touch()
    for name, seconds in (("fit", "61.5"), ("draw", "2.0"), ("none", "NA")):
        (tmp_path / f"{name}.tsv").write_text(f"s\th:m:s\n{seconds}\t0:01:01\n")
    return tmp_path


def test_a_run_that_has_made_programs(folder):
    of = {"sample": "blood", "run": "main"}
    fit = job("train_layer1", "results/blood/main/layer1.h5nnmf", benchmark="fit.tsv", **of)
    judge = job("judge_programs", "results/blood/main/programs.tsv", benchmark="none.tsv", **of)
    draw = job("plot_theta", "results/blood/main/theta_l1.png", benchmark="draw.tsv", **of)
    counted = job("count_cells", "results/blood/cells.tsv", sample="blood")
    text = ending.of_success(workflow(job("all"), group(fit, judge), draw, counted))
    assert lines_of(text, TITLES) == {
        "made": "4 files: blood/main with layers of 5, 2 programs",
        "where": "results/blood/main/",
        "time": "3 min 5 s; longest: train_layer1 of blood/main, 1 min 2 s",
        "look at": "results/blood/main/hierarchy_l2.png, then results/blood/main/programs.tsv",
        "doubt": "4 of 5 programs of layer 1 "
        "(P2 not replicated, P3 ribosomal, P4 stress and 1 more)",
    }


def test_a_run_that_has_made_other_files(folder):
    text = ending.of_success(workflow(job("simulate", "data/sim.npz"), job("write", "data/sim.h5")))
    assert lines_of(text, TITLES) == {
        "made": "2 files: data/sim.npz, data/sim.h5",
        "where": "data/",
        "time": "3 min 5 s",
        "look at": "data/sim.h5",
        "doubt": "no programs were judged",
    }


def test_programs_without_a_doubt_and_many_runs(folder):
    runs = [f"run{n}" for n in range(5)]
    for run in runs:
        path = folder / "results" / "blood" / run / "programs.tsv"
        path.parent.mkdir()
        path.write_text("layer\tprogram\tbelieve\n1\tP1\tyes\n")
    jobs = [job("judge", f"results/blood/{run}/programs.tsv", run=run) for run in runs]
    found = lines_of(ending.of_success(workflow(*jobs)), TITLES)
    assert found["where"].endswith("run2/ and 2 more")
    assert found["doubt"] == "nothing that the tables tell"
    path.write_text("layer\tprogram\tbelieve\n1\tP1\tno: dead\n")
    found = lines_of(ending.of_success(workflow(*jobs)), TITLES)
    assert found["doubt"] == "1 of 1 programs of blood/run4 layer 1 (P1 dead)"


def test_a_run_that_has_failed_says_why_and_which_log(folder):
    log = folder / "train.log"
    log.write_text("10:00:00 INFO    a\n10:00:01 ERROR   The file 'a' has no cells.\n\n")
    fit = job("train_layer1", "b", log="train.log", sample="blood", run="main")
    jobs = [job("create_dataset", "a"), fit, job("plot", "c")]
    text = ending.of_failure(workflow(*jobs, failed=[fit], done=1))
    assert lines_of(text, FAILED) == {
        "failed": "train_layer1 of blood/main",
        "why": "The file 'a' has no cells.",
        "log": "train.log",
        "done": "1 of 3 jobs in 3 min 5 s; what they made stays",
        "go on": "repair it and give the same command again",
    }
    log.unlink()
    assert "why:    the messages above say it" in ending.of_failure(workflow(failed=[fit]))
    assert "no job; the run was stopped" in ending.of_failure(workflow())


def test_the_page_for_beginners_shows_these_lines():
    page = (ROOT / "docs" / "start.md").read_text(encoding="utf-8")
    assert lines_of(page, TITLES)["where"] == "results/sim/main/"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "0 s"), (59.6, "1 min 0 s"), (125, "2 min 5 s"), (7260, "2 h 1 min")],
)
def test_durations(seconds, words):
    assert ending.duration(timedelta(seconds=seconds)) == words


def test_only_a_run_that_does_something_ends_with_them(stubbed: Workflow):
    assert "made:" not in stubbed.run("--dry-run", config=SMALL).text
    found = lines_of(stubbed.run(config=SMALL).text, TITLES)
    assert found["where"] == "results/tiny/main/"
    assert "made:" not in stubbed.run(config=SMALL).text


def test_a_run_that_fails_ends_with_its_log(stubbed: Workflow):
    script = stubbed.source / "workflow" / "scripts" / "create_dataset.py"
    script.write_text(
        "from pathlib import Path\n"
        "Path(snakemake.log[0]).write_text('10:00:00 ERROR   It has no cells.\\n')\n"
        "raise SystemExit(1)\n"
    )
    result = stubbed.run(config=SMALL, check=False)
    assert result.status == 1
    found = lines_of(result.text, FAILED)
    assert found["failed"] == "create_dataset of tiny"
    assert found["why"] == "It has no cells."
    assert found["log"] == "logs/tiny/create_dataset.log"
    assert found["done"].startswith("2 of ")


def test_every_rule_has_a_line_of_its_own(stubbed: Workflow):
    runs = {"fixed": {}, "shallow": {"layers": [3]}, "chosen": {"layers": "auto"}}
    text = stubbed.run("--list", config={**SMALL, "layers": [4, 2], "runs": runs}).text
    rules = [line for line in text.splitlines() if not line.startswith("Using workflow")]
    assert len(rules) > 14
    for line in rules:
        assert re.fullmatch(r"\w+ \([^()]{15,90}\)", line), line
