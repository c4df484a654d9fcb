"""What jobs ask for: the formulas, and the ways to change them."""

import re
from types import SimpleNamespace

import pytest
from harness import SMALL, Workflow
from nmf_workflow.config import load
from nmf_workflow.resources import Needs

WILDCARDS = SimpleNamespace(sample="s", run="main")


def needs(**keys) -> Needs:
    return Needs(load({"samples": {"s": {"input": __file__}}, **keys}))


def memory(size: float = 1000, attempt: int = 1, number: int = 1, **keys) -> int:
    given = SimpleNamespace(size_mb=size)
    return needs(**keys).fit_mem_mb(number)(WILDCARDS, given, attempt)


def minutes(size: float = 1000, attempt: int = 1, number: int = 1, **keys) -> int:
    given = SimpleNamespace(size_mb=size)
    return needs(**keys).fit_runtime(number)(WILDCARDS, given, attempt)


def test_the_formulas_of_the_docs():
    # 1.3 x (1,000 MB of counts + 4 float32 numbers x 20 programs for each 800 bytes of them)
    assert memory() == 2000 + 1.3 * (1000 + 400)
    # (100 + 300) epochs x 20 programs x 125 million non-zeros x 2e-9 s
    assert minutes(consensus=False) == 10 + 34
    # Eight more fits, each of half of the cells.
    assert minutes() == 10 + 167
    assert minutes(samples={"s": {"simulate": {}}}) == 10 + 34


@pytest.mark.parametrize(
    ("more", "less"),
    [
        ({"size": 2000}, {}),
        ({"layers": [40, 10]}, {}),
        ({"precision": "float64"}, {}),
        ({"device": "cuda"}, {}),
        ({"shards": 2}, {}),
        ({}, {"data_mem_size": 10_000, "dataset": {"variable_genes": 2000}}),
        (
            {"data_mem_size": 10_000, "dataset": {"variable_genes": 2000}},
            {"data_mem_size": 10_000, "dataset": {"variable_genes": 2000}, "consensus": False},
        ),
    ],
)
def test_memory_grows_with_what_it_should(more: dict, less: dict):
    assert memory(**more) > memory(**less)


def test_a_process_is_a_task_with_a_gpu_of_its_own():
    for device, gpus in (("cpu", 0), ("cuda", 3)):
        asked = needs(shards=[1, 3], device=device)
        assert asked.tasks(2)(SimpleNamespace(run="main")) == 3
        assert asked.gpu(2)(SimpleNamespace(run="main")) == gpus
    assert asked.gpu(1)(SimpleNamespace(run="main")) == 1


@pytest.mark.parametrize(
    ("remote", "name", "job", "threads"),
    [
        (False, "local", None, 3),
        (False, "slurm", None, 1),
        (False, "cluster-generic", None, 3),
        (False, None, None, 3),
        (True, "local", "7", 1),
        (True, "local", None, 3),
        # Here, in a shell that Slurm gave.
        (False, "local", "7", 3),
    ],
)
def test_the_trial_of_a_size_has_a_thread_a_process(monkeypatch, remote, name, job, threads):
    """Slurm counts threads by process, all others those of the job."""
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    if job is not None:
        monkeypatch.setenv("SLURM_JOB_ID", job)
    plugin = None if name is None else SimpleNamespace(name=name)
    workflow = SimpleNamespace(remote_exec=remote, executor_plugin=plugin)
    asked = needs(shards=[3, 1])
    assert asked.trial_threads(workflow)(SimpleNamespace(run="main")) == threads


def test_a_part_asks_for_what_it_reads_of_its_input():
    asked, given = needs(dataset={"parts": 4}), SimpleNamespace(size_mb=1200)
    part = SimpleNamespace(sample="s", part="2")
    assert asked.part_mem_mb(part, given, 1) == 1500 + 300
    assert asked.part_runtime(part, given, 2) == 2 * (10 + 5)


@pytest.mark.parametrize("more", [{"size": 2000}, {"layers": [40, 10]}, {"epochs": 600}])
def test_time_grows_with_what_it_should(more: dict):
    assert minutes(**more) > minutes()


def test_every_attempt_asks_for_twice_as_much():
    assert [memory(attempt=n) / memory() for n in (1, 2, 3)] == [1, 2, 4]
    assert [minutes(attempt=n) / minutes() for n in (1, 2, 3)] == [1, 2, 4]


def test_a_layer_counts_its_own_epochs():
    assert minutes(number=1, epochs=[10, 1000]) < minutes(number=2, epochs=[10, 1000])


def test_runs_of_an_array_ask_for_the_same():
    """Slurm takes an array's request from its first job."""
    runs = {"runs": {"main": {}, "wide": {"layers": [60, 10]}}}
    function = needs(**runs).fit_mem_mb(1)
    given = SimpleNamespace(size_mb=100)
    wide = SimpleNamespace(sample="s", run="wide")
    assert function(WILDCARDS, given, 1) == function(wide, given, 1) == memory(100, **runs)
    assert function(WILDCARDS, given, 1) == memory(100, layers=[60, 10])


def test_a_million_cells_fit_into_what_is_asked_for():
    """1,000,000 cells, 100 million non-zeros, 20 programs: 1.3 x (data + loadings) + 0.6 GB."""
    assert memory(800) >= 1.3 * (800 + 4 * 80) + 600


def resources_of(text: str, rule: str) -> dict[str, str]:
    block = text.split(f"rule {rule}:")[1].split("rule ")[0]
    line = re.search(r"resources: (.*)", block).group(1)
    return dict(pair.split("=", 1) for pair in line.split(", "))


def test_gpus_are_asked_for_by_layer(done: Workflow):
    config = {**SMALL, "device": ["cuda", "cpu"], "seed": 5}
    text = done.run("--dry-run", config=config).text
    assert resources_of(text, "train_layer1")["gpu"] == "1"
    assert resources_of(text, "train_layer2")["gpu"] == "0"


def test_one_layer_can_be_given_something_else(done: Workflow):
    change = ["--set-resources", "train_layer2:mem_mb=77", "train_layer2:gpu=1"]
    text = done.run("--dry-run", "--forceall", *change, config=SMALL).text
    assert resources_of(text, "train_layer2")["mem_mb"] == "77"
    assert resources_of(text, "train_layer2")["gpu"] == "1"
    assert resources_of(text, "train_layer1")["mem_mb"] not in ("77", "<TBD>")
    assert resources_of(text, "train_layer1")["gpu"] == "0"


def test_one_layer_can_be_given_other_threads(done: Workflow):
    text = done.run(
        "--dry-run", "--forceall", "--cores", "16", "--set-threads", "train_layer2=3", config=SMALL
    ).text
    assert "threads: 8" in text.split("rule train_layer1:")[1].split("rule ")[0]
    assert "threads: 3" in text.split("rule train_layer2:")[1].split("rule ")[0]


def test_every_rule_states_memory_and_time(done: Workflow):
    text = done.run("--dry-run", "--forceall", config=SMALL).text
    rules = set(re.findall(r"^(?:local)?rule (\w+):", text, re.MULTILINE)) - {"all"}
    assert len(rules) == 9
    for rule in rules:
        stated = resources_of(text, rule)
        assert {"mem_mb", "runtime"} <= stated.keys(), rule
