"""The config: defaults, what counts as the same, and one sentence for everything that is wrong."""

import re
import subprocess
import sys
from base64 import urlsafe_b64encode
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from harness import ROOT, clean_environment
from jsonschema import Draft202012Validator
from neuralNMF.dataset import DatasetOptions
from neuralNMF.io.h5 import write_h5
from neuralNMF.io.simulation import save_simulation
from neuralNMF.options import (
    CHOICES,
    LOSSES,
    RAW_COUNTS,
    VARIABLE_GENES,
    VARIABLE_GENES_BY,
    LayerOptions,
)
from neuralNMF.simulate import MODES, simulate
from nmf_workflow import schema
from nmf_workflow.config import ConfigError, load
from nmf_workflow.params import Plan

OF_SAMPLE = ("labels", "batch", "condition")
MINIMAL = {"samples": {"sim": {"simulate": {}}}}


def test_schema_is_valid():
    Draft202012Validator.check_schema(schema.load_schema())


@pytest.mark.parametrize(
    ("path", "node"), list(schema.all_keys()), ids=lambda value: str(value)[:40]
)
def test_every_key_says_what_it_is(path: str, node: dict):
    assert node["description"]
    assert node["allowed"]
    if "default" in node and node["default"] is not None:
        validator = Draft202012Validator({**schema.load_schema(), "$ref": "#/$defs/fit"})
        resolved = {"$defs": schema.load_schema()["$defs"], **node}
        assert validator.evolve(schema=resolved).is_valid(node["default"]), path


def test_defaults_are_filled_in_at_every_depth():
    config = load({"samples": {"sim": {"simulate": {"cells": 50}}, "own": {"input": __file__}}})
    assert config.samples["sim"].simulate == {
        "cells": 50,
        "genes": 2000,
        "programs": 10,
        "mode": "block",
        "block_loadings": False,
        "seed": 0,
    }
    assert config.samples["own"].dataset["min_counts"] == 1
    assert config.runs["main"]["layers"] == [20, 10]
    assert config.runs["main"]["epochs"] == [300, 300]
    assert config.plots == {"top_n": 10, "max_thresh": 50, "max_cells": 5000, "umap": "auto"}


def test_what_is_given_with_nothing_after_it_counts_as_not_given():
    text = "samples:\n  sim:\n    simulate:\nlayers:\nruns:\n  main:\nplots:\n  top_n:\n"
    assert load(yaml.safe_load(text)) == load(MINIMAL)


def test_numbers_that_yaml_reads_as_text():
    config = load({**MINIMAL, **yaml.safe_load("tol: 1e-4\nlr: [auto, 1e-2]\nepochs: 20.0")})
    run = config.runs["main"]
    assert (run["tol"], run["lr"], run["epochs"]) == (1e-4, ["auto", 0.01], [20, 20])


def test_a_name_that_is_a_number():
    assert list(load(yaml.safe_load("samples: {2024: {simulate: {}}}")).samples) == ["2024"]


def test_a_run_overrides_only_what_it_names():
    config = load({**MINIMAL, "seed": 3, "runs": {"a": {}, "b": {"layers": [9, 4, 2], "lr": 0.5}}})
    assert config.runs["a"]["seed"] == config.runs["b"]["seed"] == 3
    assert config.runs["a"]["layers"] == [20, 10]
    assert config.runs["b"]["lr"] == [0.5, 0.5, 0.5]


def test_a_sample_overrides_only_what_it_names():
    samples = {"s": {"input": __file__, "dataset": {"min_cells": 7}}}
    dataset = load({"samples": samples, "dataset": {"variable_genes": 99}}).samples["s"].dataset
    assert (dataset["min_cells"], dataset["variable_genes"]) == (7, 99)


def test_a_sample_may_have_gene_sets_of_its_own(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("a.gmt", "b.gmt"):
        (tmp_path / name).write_text("B cells\t\tCD79A\tMS4A1\n")
    own = {"none": {"gene_sets": None}, "other": {"gene_sets": "~/b.gmt"}, "config's": {}}
    samples = {f"s{n}": {"simulate": {}, **keys} for n, keys in enumerate(own.values())}
    found = load({"samples": samples, "gene_sets": ["~/a.gmt", "~/b.gmt"]}).samples
    a, b = str(tmp_path / "a.gmt"), str(tmp_path / "b.gmt")
    assert [sample.gene_sets for sample in found.values()] == [(), (b,), (a, b)]


@pytest.mark.parametrize(
    ("given", "sources"),
    [
        ("a.h5", [("a.h5", "a", None)]),
        (["a.h5", "b.h5ad"], [("a.h5", "a", None), ("b.h5ad", "b", None)]),
        ({"path": "b.h5ad", "layer": "counts"}, [("b.h5ad", "b", "counts")]),
        (
            [{"path": "a.h5", "name": "first"}, "mtx"],
            [("a.h5", "first", None), ("mtx", "mtx", None)],
        ),
    ],
)
def test_ways_to_write_an_input(given, sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.h5").touch()
    (tmp_path / "b.h5ad").touch()
    (tmp_path / "mtx").mkdir()
    found = load({"samples": {"s": {"input": given}}}).samples["s"].sources
    assert [(source.path, source.name, source.layer) for source in found] == sources


def test_home_folder_in_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.h5").touch()
    source = load({"samples": {"s": {"input": "~/a.h5"}}}).samples["s"].sources[0]
    assert source.path == str(tmp_path / "a.h5")


@pytest.mark.parametrize(
    ("layers", "sizes", "lists", "most"),
    [
        ("auto", [2, 10], None, [10, 7, 5]),
        ([[10, 5], [20], [10, 8, 3]], [10, 20], [[10, 5], [20], [10, 8, 3]], [20, 8, 3]),
    ],
)
def test_what_is_tried_for_layers_chosen_by_the_data(layers, sizes, lists, most):
    run = load({**MINIMAL, "layers": layers, "sizes": [10, 2, 10]}).runs["main"]
    assert (run["search"].sizes, run["search"].lists) == (sizes, lists)
    assert run["layers"] == most
    assert run["epochs"] == [300] * 3


class Wildcards:
    sample = "s"
    run = "main"


@pytest.mark.parametrize(
    ("keys", "meaning"),
    [
        ({}, ("library", "log1p", 0.5)),
        ({"normalize": "library"}, ("library", "log1p", 0.5)),
        ({"normalize": "library", "transform": "none"}, ("library", "none", 0.5)),
        ({"normalize": "variance"}, ("variance", "log1p", None)),
        ({"normalize": "counts"}, ("counts", "none", None)),
        ({"gene_power": 0}, ("library", "log1p", 0)),
        ({"beta": "pmf"}, ("counts", "none", None)),
        ({"loss": "poisson", "beta": "learned"}, ("counts", "none", None)),
        ({"loss": "nested_poisson", "beta": "learned"}, ("counts", "none", None)),
    ],
)
def test_what_auto_normalization_means(keys: dict, meaning: tuple):
    config = load({"samples": {"s": {"input": __file__}}, **keys})
    found = Plan(config).layer(1)(Wildcards)
    assert (found["normalize"], found["transform"], found["gene_power"]) == meaning
    simulated = load({"samples": {"s": {"simulate": {}}}, **keys})
    found = Plan(simulated).layer(1)(Wildcards)
    if "normalize" in keys:
        assert (found["normalize"], found["transform"], found["gene_power"]) == meaning
    else:
        assert (found["normalize"], found["transform"]) == ("counts", "none")


@pytest.mark.parametrize(
    ("keys", "meaning"),
    [
        ({}, True),
        ({"loss": "nested_poisson", "beta": "learned"}, True),
        ({"beta": "pmf"}, False),
        ({"guide": 1, "loss": "poisson", "beta": "learned"}, False),
        ({"consensus": False}, False),
        ({"consensus": True, "beta": "pmf"}, True),
    ],
)
def test_what_auto_consensus_means(keys: dict, meaning: bool):
    config = load({"samples": {"s": {"input": __file__, "labels": "kind"}}, **keys})
    assert Plan(config).layer(1)(Wildcards)["consensus"] is meaning
    if "guide" not in keys:
        simulated = load({"samples": {"s": {"simulate": {}}}, **keys})
        assert Plan(simulated).layer(1)(Wildcards)["consensus"] is (keys.get("consensus") is True)


WRONG = [
    (
        {"guide": 1, "consensus": True, "loss": "poisson", "beta": "learned"},
        "consensus is true, but guide leads the fit by labels; give one of the two.",
    ),
    (
        {"shards": 2, "guide": 1, "loss": "poisson", "beta": "learned"},
        "shards is 2, but guide needs all labelled cells in one process; give one of the two.",
    ),
    ({"shards": [2]}, "shards has 1 entries, but layers has 2;"),
    ({"epoch": 3}, 'config: there is no key "epoch"; did you mean "epochs"?'),
    ({"quux": 3}, 'config: there is no key "quux"; known: samples, runs,'),
    (
        {"runs": {"main": {"layer": [3]}}},
        'runs.main: there is no key "layer"; did you mean "layers"?',
    ),
    ({"plots": {"topn": 3}}, 'plots: there is no key "topn"; did you mean "top_n"?'),
    (
        {"dataset": {"min_cell": 3}},
        'dataset: there is no key "min_cell"; did you mean "min_cells"?',
    ),
    (
        {"samples": {"sim": {"simulate": {"cell": 3}}}},
        'samples.sim.simulate: there is no key "cell"; did you mean "cells"?',
    ),
    ({"samples": {}}, "samples is empty; allowed: one entry a sample"),
    ({"samples": {"sim": {}}}, "samples.sim has neither `simulate` nor `input`"),
    ({"samples": {"sim": None}}, "samples.sim has neither `simulate` nor `input`"),
    (
        {"samples": {"sim": {"simulate": {}, "input": __file__}}},
        "samples.sim has both `simulate` and `input`; give one of the two.",
    ),
    (
        {"samples": {"../up": {"simulate": {}}}},
        'samples: "../up" cannot be a name; allowed: letters',
    ),
    ({"samples": {"a b": {"simulate": {}}}}, 'samples: "a b" cannot be a name'),
    ({"runs": {".hidden": {}}}, 'runs: ".hidden" cannot be a name'),
    ({"runs": {"a/b": {}}}, 'runs: "a/b" cannot be a name'),
    ({"epochs": "many"}, 'epochs is "many"; allowed: a whole number from 1 to 10^6, or a list'),
    ({"epochs": 2.5}, "epochs is 2.5; allowed: a whole number"),
    ({"epochs": [3, 0]}, "epochs[1] is 0; allowed: a whole number"),
    (
        {"epochs": [1, 2, 3]},
        "epochs has 3 entries, but layers has 2; give one value for all layers",
    ),
    ({"lr": [0.1]}, "lr has 1 entries, but layers has 2;"),
    ({"lr": 0}, "lr is 0; allowed: auto, a number above 0"),
    ({"device": ["cpu", "cpu", "cpu"]}, "device has 3 entries, but layers has 2;"),
    ({"device": "gpu"}, 'device is "gpu"; allowed: auto, cpu, cuda'),
    ({"runs": {"r": {"epochs": [1]}}}, "runs.r.epochs has 1 entries, but layers has 2;"),
    ({"runs": {"r": {"layers": [3]}}, "lr": [1, 2]}, "lr has 2 entries, but runs.r.layers has 1;"),
    ({"layers": 20}, "layers is 20; allowed: a list of at most 20 whole"),
    ({"layers": []}, "layers is empty; allowed: a list of at most 20 whole"),
    (
        {"layers": [10, 10]},
        "layers is [10, 10]; allowed: a list of at most 20 whole numbers from 1 to",
    ),
    ({"layers": [10, 20]}, "layers is [10, 20]; allowed:"),
    ({"layers": [[10, 5], [5, 10]]}, "layers is [[10, 5], [5, 10]]; allowed: a list of at"),
    ({"layers": [[10, 5], 5]}, "layers is [[10, 5], 5]; allowed: a list of at most 20 whole"),
    ({"layers": [[10, 5], []]}, "layers is [[10, 5], []]; allowed: a list of at most 20 whole"),
    ({"layers": "best"}, 'layers is "best"; allowed: a list of at most 20 whole numbers'),
    (
        {"sizes": [1]},
        "sizes[0] is 1; allowed: a list of at most 100 whole numbers from 2 to 10000.",
    ),
    (
        {"sizes": []},
        "sizes is empty; allowed: a list of at most 100 whole numbers from 2 to 10000.",
    ),
    (
        {"layers": "auto", "epochs": [10, 20]},
        "epochs has an entry a layer, but how many layers there will be is chosen by the data "
        "(`layers`); give one value for all layers.",
    ),
    (
        {"runs": {"r": {"layers": [[10, 5], [8]]}}, "lr": [0.1, 0.1]},
        "lr has an entry a layer, but how many layers there will be is chosen by the data "
        "(`runs.r.layers`);",
    ),
    (
        {"layers": "auto", "guide": 1},
        "guide leads the fit by labels, but layers is to be chosen by what is found again in "
        "other cells; name the layers, or set `guide: 0`.",
    ),
    (
        {"layers": "auto", "consensus": False},
        "consensus is false, but layers is to be chosen by the programs that are found again in "
        "other cells; name the layers, or leave `consensus` out.",
    ),
    ({"joint": "perhaps"}, 'joint is "perhaps"; allowed: true or false.'),
    ({"normalize": "log"}, 'normalize is "log"; allowed: auto, counts, library or variance.'),
    (
        {"loss": "poisson", "normalize": "variance"},
        'normalize is "variance", but `loss: poisson` models raw counts; allowed: auto or counts.',
    ),
    (
        {"runs": {"r": {"beta": "pmf", "transform": "sqrt"}}},
        'runs.r.transform is "sqrt", but `runs.r.beta: pmf` models raw counts; allowed: auto or '
        "none.",
    ),
    (
        {"loss": "poisson"},
        'loss is "poisson", which `beta: lsq` cannot be trained by; take `beta: pmf` or `beta: '
        "learned` for it, or `loss: auto`.",
    ),
    (
        {"runs": {"r": {"beta": "learned"}}, "loss": "energy"},
        'loss is "energy", which `runs.r.beta: learned` cannot be trained by; take `beta: lsq`',
    ),
    ({"guide": 1}, "guide is 1, which works with `loss: nested_poisson` and `loss: poisson` only;"),
    ({"guide": 1, "beta": "pmf"}, "samples.sim has no `labels`, which guide needs;"),
    ({"guide": 1, "guide_layer": 3}, "guide_layer is 3, but layers has 2; allowed:"),
    ({"samples": {"s": {"input": "no.h5"}}}, 'samples.s.input: there is no file or folder "no.h5"'),
    (
        {"samples": {"s": {"input": ["a/x.h5", "b/x.h5"]}}},
        'samples.s.input: 2 inputs are named "x"; give each its own `name:`.',
    ),
    (
        {"project": {"new": {"input": __file__}}},
        'project.new is {"input": ',
    ),
    (
        {"project": {"new": {"input": "no.h5", "model": "sim/main"}}},
        'project.new.input: there is no file or folder "no.h5"',
    ),
    (
        {"project": {"new": {"input": __file__, "model": "no.h5nnmf"}}},
        'project.new.model: there is no file "no.h5nnmf"',
    ),
    (
        {"project": {"new": {"input": __file__, "model": "results/sim/main/layer2"}}},
        'project.new.model is "results/sim/main/layer2", which is neither `sample/run` of this '
        "config nor the path of a model file, which ends with `.h5nnmf`",
    ),
    (
        {"project": {"new": {"input": __file__, "model": __file__}}},
        f'project.new.model is "{__file__}", which is neither `sample/run` of this config nor the '
        "path of a model file",
    ),
    (
        {"project": {"new": {"input": __file__, "model": "sim/mani"}}},
        'project.new.model is "sim/mani", but there is no "mani" in `runs`; did you mean '
        '"sim/main"?',
    ),
    (
        {
            "samples": {"projected": {"simulate": {}}},
            "project": {"n": {"input": __file__, "model": "projected/main"}},
        },
        "samples.projected has the name of the folder of new cells (`project`); rename it.",
    ),
    ({"samples": {"s": {"input": 3}}}, "samples.s.input is 3; allowed: a path, a mapping"),
    (
        {"samples": {"s": {"simulate": {}, "labels": "celltype"}}},
        'samples.s.labels is "celltype", but simulated cells have no labels.',
    ),
    (
        {"samples": {"s": {"simulate": {}, "coarse_labels": "lineage"}}},
        'samples.s.coarse_labels is "lineage", but simulated cells have no labels.',
    ),
    (
        {"samples": {"s": {"input": __file__, "coarse_labels": "lineage"}}},
        'samples.s.coarse_labels is "lineage", but there are no finer `labels`;',
    ),
    ({"gene_sets": "no.gmt"}, 'gene_sets: there is no file "no.gmt" (working folder:'),
    (
        {"samples": {"s": {"input": __file__, "gene_sets": [__file__]}}},
        f"samples.s.gene_sets: '{__file__}', line 1 is no gene set: a line",
    ),
    ({"gene_sets": [3]}, "gene_sets[0] is 3; allowed: the path of a GMT file, or a list of them."),
    (
        {"samples": {"s": {"input": __file__, "gene_sets": ["no.gmt"]}}},
        'samples.s.gene_sets: there is no file "no.gmt" (working folder:',
    ),
    (
        {"samples": {"s": {"input": "donor{1}.h5ad"}}},
        'samples.s.input is "donor{1}.h5ad", but what stands in braces is a wildcard for Snakemake',
    ),
    (
        {"dataset": {"include": "{a}.txt"}},
        'samples.sim.dataset.include is "{a}.txt", but what stands in braces is a wildcard',
    ),
    ({"dataset": {"exclude": "no.txt"}}, 'dataset.exclude: there is no file "no.txt"'),
    (
        {"dataset": {"exclude": "ribosomal"}},
        f'dataset.exclude: there is no file "ribosomal" (working folder: "{Path.cwd()}"); genes '
        "and classes of genes are written as a list: [ribosomal].",
    ),
    (
        {"dataset": {"variable_genes_by": "vst"}},
        'dataset.variable_genes_by is "vst"; allowed: seurat_v3 or pearson.',
    ),
    (
        {"samples": {"s": {"input": __file__, "dataset": {"include": "no.txt"}}}},
        'samples.s.dataset.include: there is no file "no.txt"',
    ),
    # What no fit could use, or what would end hours later, in numbers that YAML reads.
    ({"seed": 2**62}, "seed is 4611686018427387904; allowed: a whole number from 0 to 10^15."),
    (
        {"samples": {"s": {"simulate": {"cells": 1e12}}}},
        "samples.s.simulate.cells is 1000000000000; allowed: a whole number from 2 to 10^9.",
    ),
    ({"epochs": 1e308}, "epochs is 1000000000"),
    ({"prior_shape": 1e-300}, "prior_shape is 1e-300; allowed: a number from 1e-6 to 1e6."),
    ({"prior_rate": float("inf")}, "prior_rate is Infinity; allowed: a number from 1e-6 to 1e6."),
    ({"tol": float("inf")}, "tol is Infinity; allowed: a number from 0 to 1."),
    ({"guide": float("nan")}, "guide is no number (.nan); allowed: a number from 0 to 1e6."),
    ({"lr": [0.1, float("nan")]}, "lr[1] is no number (.nan); allowed: auto, a number above 0"),
    ({"layers": list(range(1000, 0, -1))}, "layers is [1000, 999"),
    ({"samples": {None: {"simulate": {}}}}, 'samples: "" cannot be a name; allowed: letters'),
    ({"samples": {"a\n": {"simulate": {}}}}, 'samples: "a\\n" cannot be a name'),
    ({"runs": {"cells.tsv": {}}}, "runs.cells.tsv has the name of a file of the results or logs;"),
    ({"device": "cpu\n"}, 'device is "cpu\\n"; allowed: auto, cpu, cuda'),
    ({"samples": {"s": {"input": "x" * 300}}}, 'samples.s.input: there is no file or folder "xxx'),
    ({"samples": {"s": {"input": "a\0b"}}}, 'samples.s.input: there is no file or folder "a\\u0'),
    ({"gene_sets": "~nosuchuser/x"}, 'gene_sets: there is no file "~nosuchuser/x"'),
    ({"dataset": {"genes": "~nosuchuser/x"}}, 'dataset.genes: there is no file "~nosuchuser/x"'),
]


@pytest.mark.parametrize(("keys", "sentence"), WRONG, ids=lambda value: str(value)[:50])
def test_one_sentence_for_what_is_wrong(keys: dict, sentence: str):
    with pytest.raises(ConfigError) as caught:
        load({**MINIMAL, **keys})
    lines = str(caught.value).splitlines()
    matching = [line for line in lines if line.startswith(sentence)]
    assert len(matching) == 1, lines
    assert matching[0].endswith((".", "?", ")."))


REPEATED = """\
samples:
  1: {simulate: {}}
  '1': {simulate: {cells: 60}}
seed: 3
runs:
  a: &base {seed: 1}
  b: {<<: *base, lr: 1}
seed: 4
"""


def test_a_key_that_stands_twice(tmp_path: Path):
    path = tmp_path / "config.yaml"
    path.write_text(REPEATED)
    with pytest.raises(ConfigError) as caught:
        load(yaml.safe_load(REPEATED), [path, tmp_path / "absent.yaml"])
    assert sorted(str(caught.value).splitlines()) == [
        f"{path}, lines 2 and 3: the key '1' stands twice; leave one.",
        f"{path}, lines 4 and 8: the key 'seed' stands twice; leave one.",
    ]


def test_a_config_that_holds_itself():
    text = "samples: {sim: {simulate: {}}}\nlayers: &a [*a]\n"
    with pytest.raises(ConfigError, match="a part that holds itself by an alias; write it out"):
        load(yaml.safe_load(text))


@pytest.mark.parametrize("name", ["data/sim.h5", "data/sim.npz"])
def test_a_file_of_the_user_s_is_not_taken_for_the_simulation(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    if name.endswith(".npz"):
        np.savez(name, mine=np.ones(3))
    else:
        write_h5(name, ["a"], ["g"], np.ones((1, 1)))
    with pytest.raises(ConfigError, match="there is a file of this name that is no simulation"):
        load(MINIMAL)
    record = urlsafe_b64encode(name.encode()).decode()
    if name.endswith(".h5"):  # an earlier version wrote it, of which Snakemake keeps a record
        Path(".snakemake/metadata").mkdir(parents=True)
        Path(".snakemake/metadata", record).write_text("{}")
        load(MINIMAL)
    drawn = simulate(6, 5, 2, rng=np.random.default_rng(0))
    save_simulation("data/sim.npz", drawn)
    write_h5("data/sim.h5", list("abcdef"), list("abcde"), drawn.counts, simulated=True)
    Path(".snakemake/metadata", record).unlink(missing_ok=True)
    load(MINIMAL)


def test_all_that_is_wrong_is_said_at_once():
    with pytest.raises(ConfigError) as caught:
        load({**MINIMAL, "epoch": 3, "device": "gpu", "tol": -1})
    assert len(str(caught.value).splitlines()) == 3


def test_no_samples():
    with pytest.raises(ConfigError, match="there is no `samples:`"):
        load({"layers": [4, 2]})


def test_parsing_loads_neither_torch_nor_anndata(tmp_path: Path):
    """Every submitted job parses the Snakefile, perhaps where neither is installed."""
    code = (
        "import sys; import nmf_workflow.config, nmf_workflow.params, nmf_workflow.environment, "
        "neuralNMF; print({'torch', 'anndata', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**clean_environment(tmp_path), "PYTHONPATH": str(ROOT / "workflow" / "lib")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "set()"


def test_the_config_offers_what_the_library_takes():
    """Names and defaults of the schema and of the library's options are the same."""
    keys = {path: node.get("default") for path, node in schema.all_keys()}
    library = {field.name: field.default for field in fields(LayerOptions)}
    run = load(MINIMAL).runs["main"]
    assert set(run) - {"layers", "sizes", "search", "checkpoint_minutes"} | {
        "rank",
        "threads",
        *OF_SAMPLE,
    } == set(library)
    # `auto` is the config's own: which normalization is best, and whether a consensus is sought,
    # depends on the sample, which loss on the programs. Columns of `obs` are the sample's.
    decided = {"rank", "threads", *OF_SAMPLE, "loss", "device", "consensus", *RAW_COUNTS}
    assert {key: keys[key] for key in library if key not in decided} == {
        key: value for key, value in library.items() if key not in decided
    }
    dataset = {field.name: field.default for field in fields(DatasetOptions)}
    dataset.pop("hvg_theta")
    dataset.pop("batch")  # the sample's
    dataset.pop("variable_genes")  # as many as suit the sample
    assert {key: keys[f"dataset.{key}"] for key in dataset} == dataset


def test_the_config_offers_the_library_s_choices():
    offered = {path: list(node["enum"]) for path, node in schema.all_keys() if "enum" in node}
    assert tuple(offered.pop("samples.<name>.simulate.mode")) == MODES
    assert tuple(offered.pop("dataset.variable_genes_by")) == VARIABLE_GENES_BY
    assert offered.pop("consensus") == ["auto", True, False]
    assert offered.pop("plots.umap") == ["auto", True, False]
    for key in (
        "normalize",
        "transform",
        "loss",
    ):  # the config's own choice, which the plan settles
        offered[key].remove("auto")
    assert {key: tuple(values) for key, values in offered.items()} == CHOICES
    assert {loss for losses in LOSSES.values() for loss in losses} == set(CHOICES["loss"])


def test_phrases_name_the_choices():
    for path, node in schema.all_keys():
        for value in node.get("enum", []):
            # As YAML writes it.
            word = str(value).lower() if isinstance(value, bool) else value
            assert re.search(rf"\b{word}\b", node["allowed"]), path


@pytest.mark.parametrize(
    ("entry", "dataset", "number"),
    [
        ({"input": __file__}, {}, VARIABLE_GENES),
        ({"input": __file__}, {"variable_genes": None}, None),
        ({"input": __file__}, {"genes": ["CD3E", "MS4A1"]}, None),
        ({"simulate": {}}, {}, None),
        ({"simulate": {}}, {"variable_genes": 50}, 50),
    ],
)
def test_what_auto_variable_genes_means(entry: dict, dataset: dict, number: int | None):
    plan = Plan(load({"samples": {"s": entry}, "dataset": dataset}))
    assert plan.dataset(Wildcards)["variable_genes"] == number


def test_how_variable_genes_are_found_matters_only_where_they_are():
    """So that another way makes no data set again that has all genes."""

    def options(**keys) -> dict:
        return Plan(load({"samples": {"s": {"input": __file__}}, "dataset": keys})).dataset(
            Wildcards
        )

    every = {"variable_genes": None}
    first, second = (options(variable_genes_by=way, **every) for way in ("pearson", "seurat_v3"))
    assert first == second
    asked = options(variable_genes=50, variable_genes_by="pearson")
    assert DatasetOptions(**asked).variable_genes_by == "pearson"


@pytest.mark.parametrize("number", [1, 2])
def test_params_are_the_library_s_options(number: int):
    config = load({"samples": {"s": {"input": __file__}}})
    plan = Plan(config)
    given = {**plan.layer(number)(Wildcards), **plan.where(number)(Wildcards, None)}
    options = LayerOptions(**given, threads=1)
    assert options.rank == [20, 10][number - 1]
    chosen = DatasetOptions(variable_genes=VARIABLE_GENES)
    assert DatasetOptions(**plan.dataset(Wildcards)) == chosen


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"batch": "x", "condition": "x"}, "cannot be told from the condition"),
        ({"donor": "x", "condition": "x"}, "one donor a condition"),
        ({"batch": "input"}, "but there is one input"),
    ],
)
def test_columns_of_cells_that_do_not_go_together_end_in_a_sentence(keys, sentence):
    with pytest.raises(ConfigError, match=sentence):
        load({"samples": {"own": {"input": __file__, **keys}}})


def test_simulated_cells_have_no_batches():
    with pytest.raises(ConfigError, match="all of one origin"):
        load({"samples": {"sim": {"simulate": {}, "batch": "x"}}})


def test_columns_of_cells_reach_the_rules_that_use_them_and_no_others():
    columns = {"batch": "chip", "condition": "state", "donor": "who"}
    plan = Plan(load({"samples": {"own": {"input": __file__, **columns}}}))
    rule = SimpleNamespace(sample="own", run="main")
    of_fit, of_dataset = plan.layer(1)(rule), plan.dataset(rule)
    assert (of_fit["batch"], of_fit["condition"]) == ("chip", "state")
    assert of_dataset["batch"] == "chip"
    assert plan.groups(rule) == columns
    assert plan.counted(rule) == columns
    assert plan.grouped(rule) == columns
    assert "results/own/main/conditions.tsv" in plan.run_tables(rule)
    inputs = [{"path": __file__, "name": name} for name in ("one", "two")]
    several = Plan(load({"samples": {"own": {"input": inputs, "batch": "input"}}}))
    assert several.grouped(rule) == {"batch": "dataset"}
    assert "results/own/main/conditions.tsv" not in several.run_tables(rule)
    without = Plan(load({"samples": {"own": {"input": __file__, "condition": "state"}}}))
    assert not {"batch", "condition"} & set(without.layer(1)(rule))
    assert "batch" not in without.dataset(rule)


def test_inputs_that_are_batches_are_coloured_and_counted_once():
    parts = [{"path": __file__, "name": name} for name in ("a", "b")]
    entry = {"input": parts, "batch": "input", "labels": "kind", "donor": "who"}
    plan, rule = Plan(load({"samples": {"own": entry}})), SimpleNamespace(sample="own", run="main")
    assert plan.coloured(rule) == ["kind", "who", "dataset"]
    assert plan.counted(rule) == {"label": "kind", "donor": "who"}
    assert plan.groups(rule) == {"batch": "input", "donor": "who"}
    assert plan.dataset(rule)["batch"] == plan.layer(1)(rule)["batch"] == "input"
