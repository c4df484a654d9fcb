"""`make new`: a config for a file, which the workflow then takes."""

import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import anndata
import numpy as np
import pytest
import yaml
from harness import ROOT, Workflow
from helpers import make_adata
from neuralNMF.batches.factors import check_batches
from neuralNMF.dataset import InputSpec, build_dataset
from neuralNMF.errors import InputError
from neuralNMF.io.dataset import open_dataset
from neuralNMF.survey.counts import Survey, survey_counts
from nmf_workflow.config import load
from nmf_workflow.new import settings, text
from nmf_workflow.new.__main__ import main, sample_name
from nmf_workflow.resources import SECONDS_OF_A_JOB, START_EPOCHS, USUAL_EPOCHS


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def small(cells: int = 240, **columns) -> anndata.AnnData:
    counts = np.random.default_rng(0).poisson(1.0, (cells, 40))
    return make_adata(counts, **columns)


def config_of(name: str) -> dict:
    return yaml.safe_load(Path(name).read_text(encoding="utf-8"))


def test_what_was_found_is_in_the_config(folder, capsys):
    types = np.resize(["T", "B"], 240)
    adata = small(celltype=types, donor=np.resize(list("abc"), 240))
    adata.layers["counts"] = adata.X.copy()
    adata.X = adata.X.log1p()
    adata.write_h5ad("my cells (1).h5ad")
    main(["my cells (1).h5ad"])
    found = config_of("my_cells_1_.yaml")
    assert found["samples"] == {
        "my_cells_1_": {
            "input": {"path": "my cells (1).h5ad", "layer": "counts"},
            "labels": "celltype",
        }
    }
    assert found["layers"] == "auto"
    assert found["sizes"] == [2, 3, 5, 7, 10]  # 20 cells a program
    written = Path("my_cells_1_.yaml").read_text(encoding="utf-8")
    assert "donor: 3 values (a, b, c)" in written
    assert "X has fractional values" in written
    assert "Written: my_cells_1_.yaml" in capsys.readouterr().err
    load(found)


def uncommented(name: str) -> dict:
    """The config with the keys in use that it only proposes."""
    written = Path(name).read_text(encoding="utf-8")
    return yaml.safe_load(re.sub(r"(?m)^    # (?=(batch|condition|donor): )", "    ", written))


@pytest.mark.parametrize(
    ("columns", "keys"),
    [
        ({"stim": "ab"}, {"condition": "stim"}),
        ({"donor": "abc"}, {"donor": "donor", "batch": "donor"}),
        ({"colour": "xy"}, {}),
        (
            {"Sample": "uvwx", "treatment": "ab", "patient": "cd", "tissue": "ef"},
            {"batch": "Sample", "condition": "treatment", "donor": "patient"},
        ),
        ({"library: '1' # x": "uv", "dataset": "kl"}, {"batch": "library: '1' # x"}),
        ({"dataset": "kl"}, {"batch": "input_dataset"}),
    ],
)
def test_proposed_keys_work_when_they_are_uncommented(folder, columns, keys):
    levels = {name: np.resize(list(values), 240) for name, values in columns.items()}
    small(**levels).write_h5ad("a.h5ad")
    main(["a.h5ad"])
    assert set(config_of("a.yaml")["samples"]["a"]) == {"input"}
    config = uncommented("a.yaml")
    assert {k: v for k, v in config["samples"]["a"].items() if k != "input"} == keys
    sample = load(config).samples["a"]
    assert {key: getattr(sample, key) for key in keys} == keys
    # The columns are those that the data set will have.
    build_dataset([InputSpec(Path("a.h5ad"), "a")], "a.dataset.h5ad", progress=False)
    for column in keys.values():
        assert len(check_batches(open_dataset("a.dataset.h5ad").obs, column)) > 1


def of_so_many_cells(cells: int) -> Survey:
    """What would have been found in a file with more cells."""
    small(60).write_h5ad("a.h5ad")
    return replace(survey_counts("a.h5ad"), cells=cells)


def test_equal_totals_are_doubted(folder):
    small().write_h5ad("a.h5ad")
    survey = survey_counts("a.h5ad")
    doubt = "all cells have nearly the same total"
    assert doubt not in text.where_the_counts_are(survey)
    assert doubt in text.where_the_counts_are(replace(survey, equal_totals=True))


@pytest.mark.parametrize(
    ("cells", "layers"), [(60, [3, 1]), (150, [7, 3]), (240, "auto"), (200_001, [20, 10, 5])]
)
def test_layers_follow_the_number_of_cells(folder, cells, layers):
    written = text.text_of(of_so_many_cells(cells), "a.h5ad", "a", "a.yaml")
    assert yaml.safe_load(written)["layers"] == layers


def test_many_labels_ask_for_larger_sizes():
    assert settings.sizes_to_try(10_000, 10)[-1] == 28
    assert settings.sizes_to_try(10_000, 20)[-2:] == [40, 56]
    assert settings.sizes_to_try(900, 20)[-1] == 40
    assert settings.sizes_to_try(200, 0) == [2, 3, 5, 7, 10]


def test_what_does_not_fit_into_memory_is_streamed(folder, monkeypatch):
    survey = of_so_many_cells(50_000_000)
    assert "data_mem_size" not in settings.settings(survey, "a.h5ad", "a")
    need = settings.needs_of(survey, settings.settings(survey, "a.h5ad", "a"), "a")
    assert need.memory > 20
    assert need.usual > 100
    for free, streamed in ((2 * need.memory, None), (need.memory / 2, 50_000)):
        available = SimpleNamespace(available=free * 1e9)
        monkeypatch.setattr(text.psutil, "virtual_memory", lambda found=available: found)
        written = yaml.safe_load(text.text_of(survey, "a.h5ad", "a", "a.yaml"))
        assert written.get("data_mem_size") == streamed
        load(written)


def test_the_time_grows_with_the_work(folder):
    survey = of_so_many_cells(100_000)
    chosen = settings.settings(survey, "a.h5ad", "a")
    named = {**chosen, "layers": [28, 14]}
    of_a_choice = settings.needs_of(survey, chosen, "a")
    of_two_layers = settings.needs_of(survey, named, "a")
    start = SECONDS_OF_A_JOB / 60
    assert of_a_choice.most > 5 * of_two_layers.most > 0
    twice = settings.needs_of(replace(survey, cells=200_000), chosen, "a")
    jobs = len(chosen["sizes"]) + 1 + len(load(chosen).runs["main"]["layers"])
    for after, before in ((twice.usual, of_a_choice.usual), (twice.most, of_a_choice.most)):
        assert after - jobs * start == pytest.approx(2 * (before - jobs * start))
    # All epochs of a fit and its start, over those in which most have stopped.
    works = [each - 2 * start for each in (of_two_layers.most, of_two_layers.usual)]
    assert works[0] / works[1] == pytest.approx((START_EPOCHS + 300) / USUAL_EPOCHS)


@pytest.mark.parametrize(
    ("name", "seconds"),
    [("ifnb_pbmc", 220), ("lymph_node", 130)],  # measured, of one core
)
def test_the_usual_time_is_near_what_was_measured(folder, shared_data, name, seconds):
    survey = survey_counts(shared_data / f"{name}.h5ad")
    keys = settings.settings(survey, str(survey.path), name)
    minutes = settings.needs_of(survey, keys, name).usual
    assert 0.6 < 60 * minutes / seconds < 2.5


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("pbmc.h5ad", "pbmc"), ("a.b.csv.gz", "a.b"), ("GSM1_matrix.mtx.gz", "GSM1"),
        ("donor 1/matrix.mtx", "donor_1"), ("-x.h5", "x"), ("été.h5", "été"), ("(.h5", "_"),
    ],
)  # fmt: skip
def test_samples_are_called_as_their_files(file, name):
    assert sample_name(Path(file)) == name


def test_nothing_is_overwritten(folder):
    small().write_h5ad("a.h5ad")
    Path("a.yaml").write_text("mine")
    with pytest.raises(InputError, match=r"'a.yaml' is there already"):
        main(["a.h5ad"])
    assert Path("a.yaml").read_text() == "mine"
    main(["a.h5ad", "--config", "configs/b.yaml", "--name", "b"])
    assert list(config_of("configs/b.yaml")["samples"]) == ["b"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([""], "make new INPUT=my.h5ad"),
        (["absent.h5ad"], "absent.h5ad"),
        (["broken.h5ad"], "broken.h5ad"),
        (["log.h5ad"], "holds no raw counts (X has fractional values)"),
        (["fine.h5ad", "--name", "a b"], "cannot be a name"),
        (["in{1}.h5ad"], "braces"),
    ],
)
def test_what_cannot_be_used_ends_in_a_sentence(folder, arguments, says):
    adata = small()
    for name in ("fine", "in{1}"):
        adata.write_h5ad(f"{name}.h5ad")
    Path("broken.h5ad").write_bytes(Path("fine.h5ad").read_bytes()[:3000])
    adata.X = adata.X.log1p()
    adata.write_h5ad("log.h5ad")
    done = subprocess.run(
        [sys.executable, "-m", "nmf_workflow.new", *arguments], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert says in done.stderr
    assert not list(Path().glob("*.yaml"))


def test_names_that_yaml_reads_differently_stay_what_they_are(folder):
    columns = {"cell type: fine #1": np.resize(["on", "no", "5"], 240)}
    small(**columns).write_h5ad("2024.h5ad")
    main(["2024.h5ad"])
    assert config_of("2024.yaml")["samples"] == {
        "2024": {"input": "2024.h5ad", "labels": "cell type: fine #1"}
    }


def test_make_new_and_a_dry_run(real: Workflow, shared_data):
    """The command as users type it, on real files, and what Snakemake says to the config."""
    data = real.folder / "my data.h5ad"
    shutil.copy(shared_data / "ifnb_pbmc.h5ad", data)
    config = real.folder / "my config.yaml"
    command = ["make", "-f", str(ROOT / "Makefile"), "-o", ".venv/.run", "new"]
    done = subprocess.run(
        [*command, f"INPUT={data}", f"CONFIG={config}", "NAME=blood", f"PY={sys.executable}"],
        cwd=real.folder, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    jobs = real.plan("--configfile", config)
    assert jobs["try_size"] == 8
    assert jobs["choose_layers"] == 1
    config.write_text(config.read_text().replace("    # condition: ", "    condition: "))
    asked = real.plan("results/blood/main/conditions.tsv", "--configfile", config)
    assert asked["judge_programs"] == 1


@pytest.mark.parametrize(
    "name",
    [
        "pbmc_facs.h5ad",
        "lymph_node.h5ad",
        "zilionis_lung.h5ad",
        "sim_original.h5",
        "10x/v3_filtered_feature_bc_matrix",
        "10x/v3_filtered_feature_bc_matrix.h5",
    ],
)
def test_configs_of_real_files_are_taken(folder, shared_data, name):
    main([str(shared_data / name), "--config", "a.yaml"])
    assert load(config_of("a.yaml")).samples
