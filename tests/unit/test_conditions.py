"""Conditions and batches as evidence: tests of programs, mixing, warnings, genes a batch."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from helpers import dataset_of, make_adata
from neuralNMF.dataset import DatasetOptions, InputSpec, build_dataset
from neuralNMF.evidence.conditions import condition_table
from neuralNMF.evidence.mixing import mixing, warn_of_batches, warn_of_confounding
from neuralNMF.evidence.programs import Cells, judge_programs, table_of_programs
from neuralNMF.least_squares.batch_factors import learn_batches
from neuralNMF.options import LayerOptions
from neuralNMF.survey.columns import origins
from neuralNMF.threads import SERIAL
from scipy.stats import mannwhitneyu, wilcoxon
from skmisc.loess import loess

DONORS = 8


def usage_of_donors(paired):
    """Program 1 is used more in 'stim', program 2 by donor 0 alone, program 3 by all."""
    rng = np.random.default_rng(0)
    donors = np.repeat([f"d{d}" for d in range(DONORS)], 40)
    stim = np.arange(donors.size) % 2 == 0 if paired else np.repeat(np.arange(DONORS) % 2, 40) == 0
    usage = rng.gamma(2.0, 1.0, (donors.size, 3))
    usage[stim, 0] *= 3
    usage[:, 1] *= np.where(donors == "d0", 1.0, 0.0)
    return usage, np.where(stim, "stim", "rest"), donors


def rows_of(table):
    return table.set_index("program")


@pytest.mark.parametrize("paired", [True, False])
def test_conditions_are_compared_a_donor_at_a_time(paired):
    usage, conditions, donors = usage_of_donors(paired)
    table = rows_of(condition_table([usage], [["P1 A", "P2 B", "P3 C"]], conditions, donors))
    shares = pd.Series(usage[:, 0] / usage.sum(axis=1))
    means = shares.groupby([conditions, donors]).mean()
    one, other = means["stim"].to_numpy(), means["rest"].to_numpy()
    test = wilcoxon(one, other) if paired else mannwhitneyu(one, other)
    assert table.loc["P1", "p"] == pytest.approx(test.pvalue)
    assert table.loc["P1", "unit"] == ("paired donors" if paired else "donors")
    assert table.loc["P1", "effect"] == 1.0
    assert table.loc["P1", "condition"] == "stim"
    assert table.loc["P1", "median_share"] == pytest.approx(np.median(one))
    assert table.loc["P1", "name"] == "P1 A"
    assert not table.loc["P2", "called"]
    # Of three p-values the smallest is adjusted by three at the most.
    assert table.loc["P1", "adjusted_p"] <= 3 * test.pvalue
    assert table.loc["P1", "called"] == (table.loc["P1", "adjusted_p"] < 0.05)


def test_without_donors_the_cells_are_compared_and_the_table_says_so():
    usage, conditions, _ = usage_of_donors(True)
    table = rows_of(condition_table([usage], [["P1", "P2", "P3"]], conditions))
    assert (table["unit"] == "cells").all()
    assert table.loc["P1", "called"]
    assert table.loc["P1", "units"] == (conditions == "stim").sum()


def test_of_several_conditions_each_is_compared_with_all_others():
    usage, conditions, _ = usage_of_donors(True)
    third = np.where(np.arange(conditions.size) % 3 == 0, "late", conditions)
    table = condition_table([usage, usage[:, :2]], [["P1", "P2", "P3"], ["P1", "P2"]], third)
    assert table.groupby("layer").size().tolist() == [9, 6]


def test_few_donors_give_no_p_value_and_one_condition_no_table(caplog):
    usage, conditions, donors = usage_of_donors(False)
    few = np.isin(donors, ["d0", "d1", "d2"])
    table = condition_table([usage[few]], [["P1", "P2", "P3"]], conditions[few], donors[few])
    assert table["p"].isna().all()
    assert not table["called"].any()
    assert condition_table([usage], [["P1"] * 3], np.full(len(usage), "rest")).empty
    assert "one condition" in caplog.text


def test_mixing_is_one_by_chance_and_zero_where_batches_separate():
    rng = np.random.default_rng(0)
    batches = rng.choice(["a", "b", "c"], 900, p=[0.5, 0.3, 0.2])
    usage = rng.gamma(1.0, 1.0, (900, 5))
    apart = np.eye(3)[np.unique(batches, return_inverse=True)[1]] + 0.01 * usage[:, :3]
    found = mixing(usage, {"batch": batches, "one": np.full(900, "x")})
    assert found["batch"] == pytest.approx(1.0, abs=0.05)
    assert np.isnan(found["one"])
    assert mixing(apart, {"batch": batches})["batch"] == 0
    some = np.where(np.arange(900) < 450, batches, "")
    assert mixing(usage, {"batch": some})["batch"] == pytest.approx(1.0, abs=0.1)


def test_columns_that_separate_the_cells_are_named(caplog):
    rng = np.random.default_rng(0)
    donor = rng.choice(["a", "b"], 400)
    usage = np.column_stack([donor == "a", donor == "b"]) + rng.gamma(1.0, 0.05, (400, 2))
    obs = pd.DataFrame(
        {"dataset": "x", "donor": donor, "sample": rng.choice(["1", "2"], 400), "celltype": donor}
    )
    columns = origins(obs)
    assert set(columns) == {"donor", "sample"}
    assert warn_of_batches(usage, columns) == ["donor"]
    assert "batch: donor" in caplog.text
    assert "sample" not in caplog.text
    assert set(origins(obs.assign(dataset=donor))) == {"donor", "sample", "input"}


def test_batches_that_are_conditions_are_warned_of(caplog):
    batch = np.array(["a", "b", "c", "a"])
    assert warn_of_confounding({"batch": batch, "condition": np.array(["x", "y", "z", "x"])})
    assert "cannot be told apart" in caplog.text
    assert not warn_of_confounding({"batch": batch, "condition": np.array(["x", "x", "z", "x"])})
    assert not warn_of_confounding({"batch": batch})


def test_the_table_of_programs_says_which_batches_donors_and_conditions():
    usage, conditions, donors = usage_of_donors(True)
    betas = np.random.default_rng(1).gamma(1.0, 1.0, (3, 30))
    symbols = np.array([f"G{j}" for j in range(30)])
    judged = judge_programs([usage], [usage], [betas], symbols, dead=[np.zeros(3, bool)])
    tested = condition_table([usage], [judged.evidence[0].names], conditions, donors)
    cells = Cells(groups={"batch": conditions, "donor": donors}, conditions=tested)
    table = rows_of(table_of_programs(judged, cells))
    assert table.loc["P2", "donors_using"] == 1
    assert table.loc["P2", "main_donor"] == "d0"
    assert "one donor" in table.loc["P2", "flags"]
    assert table.loc["P3", "batches_using"] == 2
    assert table.loc["P3", "batch_shares"].startswith("rest 0.")
    assert table.loc["P1", "condition"] == "stim"
    assert table.loc["P2", "condition"] == ""


# ---- Factors beside a condition


def of_conditions(nested):
    """Counts with batches, and a program that the condition adds to all cells."""
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, 1000)
    stim = codes >= 2 if nested else rng.random(1000) < 0.3 + 0.4 * (codes % 2)
    programs = rng.gamma(0.4, 1.0, (5, 200))
    usage = rng.dirichlet(np.full(4, 0.3), 1000)
    usage = np.column_stack([usage, 0.5 * stim])
    factors = np.exp(rng.normal(0, 0.3, (4, 200)))
    rates = 4.0 * usage @ programs * factors[codes]
    names = np.array(["a", "b", "c", "d"])[codes]
    dataset = dataset_of(rng.poisson(rates), batch=names, state=np.where(stim, "stim", "rest"))
    return dataset, programs[4], factors


@pytest.mark.parametrize("nested", [True, False])
def test_what_a_condition_adds_is_not_taken_for_an_effect_of_batches(nested):
    dataset, program, factors = of_conditions(nested)
    options = LayerOptions(5, normalize="library", gene_power=0.5, batch="batch")
    found = learn_batches(dataset, replace(options, condition="state"), SERIAL)
    logs, truth = np.log(found.factors), np.log(factors)
    if nested:  # batches of two conditions are not compared
        for part in (slice(0, 2), slice(2, 4)):
            of_part = truth[part] - truth[part].mean(axis=0)
            assert np.corrcoef(logs[part].ravel(), of_part.ravel())[0, 1] > 0.9
        np.testing.assert_allclose(logs[2:].mean(axis=0), 0, atol=0.05)
        without = np.log(learn_batches(dataset, options, SERIAL).factors)
        assert np.corrcoef(without[2:].mean(axis=0), np.log(program + 0.05))[0, 1] > 0.4
    else:
        of_all = truth - truth.mean(axis=0)
        assert np.corrcoef(logs.ravel(), of_all.ravel())[0, 1] > 0.9


def test_batches_that_cannot_be_told_from_the_condition_are_left_alone(caplog):
    dataset, _, _ = of_conditions(nested=True)
    options = LayerOptions(5, normalize="library", batch="batch", condition="state")
    dataset.obs["state"] = dataset.obs["batch"]
    factors = learn_batches(dataset, options, SERIAL).factors
    np.testing.assert_allclose(factors, 1)
    assert "cannot be told apart" in caplog.text


def test_cells_without_a_batch_do_not_count():
    dataset, _, _ = of_conditions(nested=False)
    dataset.obs["batch"] = dataset.obs["batch"].where(np.arange(1000) > 100, "")
    batches = learn_batches(dataset, LayerOptions(5, batch="batch"), SERIAL)
    assert batches.names == ("a", "b", "c", "d")
    assert batches.factors.shape == (4, 200)


# ---- Variable genes within batches


def chosen(folder, options, *inputs):
    """The table of all genes of a data set of some counts."""
    specs = []
    for number, cells in enumerate(inputs):
        cells.write_h5ad(folder / f"{number}.h5ad")
        specs.append(InputSpec(folder / f"{number}.h5ad", f"i{number}"))
    build_dataset(specs, folder / "dataset.h5ad", options, chunk_cells=70, progress=False)
    return pd.read_csv(folder / "genes.tsv", sep="\t", index_col="gene_id")


def drawn_genes(rng, cells=300, genes=200):
    return rng.poisson(rng.gamma(0.5, 2.0, (cells, genes)) * rng.gamma(1.0, 1.0, genes))


def standardized(counts, batch):
    """The dense formula of seurat_v3, each batch about its own mean."""
    names, codes = np.unique(batch, return_inverse=True)
    means = np.stack([counts[batch == name].mean(axis=0) for name in names])[codes]
    freedom = len(counts) - names.size
    usual = ((counts - means) ** 2).sum(axis=0) / freedom
    trend = loess(np.log10(counts.mean(axis=0)), np.log10(usual), span=0.3, degree=2)
    trend.fit()
    z = (counts - means) / np.sqrt(10**trend.outputs.fitted_values)
    return (np.minimum(z, np.sqrt(len(counts))) ** 2).sum(axis=0) / freedom


def residuals(counts, batch):
    """The dense formula of Pearson residuals, each batch by its own share of each gene."""
    total = np.zeros(counts.shape[1])
    for name in np.unique(batch):
        own = counts[batch == name]
        mu = np.outer(own.sum(axis=1), own.sum(axis=0)) / own.sum()
        r = (own - mu) / np.sqrt(mu + mu**2 / 100 + (mu == 0))
        total += np.clip(r, -(len(counts) ** 0.5), len(counts) ** 0.5).var(axis=0) * (len(own) - 1)
    return total / (len(counts) - np.unique(batch).size)


@pytest.mark.parametrize(("by", "formula"), [("seurat_v3", standardized), ("pearson", residuals)])
def test_variable_genes_are_those_that_vary_within_batches(tmp_path, by, formula):
    rng = np.random.default_rng(0)
    counts = drawn_genes(rng)
    batch = rng.choice(["a", "b", "c"], 300)
    rates = np.where(batch == "a", 9.0, 0.3)[:, None]
    counts[:, :10] = rng.poisson(rates, (300, 10))  # differ between the batches alone
    counts[rng.integers(0, 300, 9), -1] += 400  # is clipped
    kept = counts[:, counts.any(axis=0)]
    options = DatasetOptions(variable_genes=30, variable_genes_by=by, batch="batch")
    table = chosen(tmp_path, options, make_adata(kept, batch=batch))
    np.testing.assert_allclose(table["variable_score"], formula(kept, batch), rtol=1e-9)
    best = np.argsort(-formula(kept, batch))[:30]
    assert set(np.flatnonzero(table["selected"] == "variable")) == set(best)
    assert (table["n_batches"] == [(np.unique(batch[gene > 0])).size for gene in kept.T]).all()
    without = chosen(tmp_path, replace(options, batch=None), make_adata(kept, batch=batch))
    assert (without["variable_score"] > 1.5 * table["variable_score"])[:10].all()
    assert "n_batches" not in without


@pytest.mark.parametrize("by", ["seurat_v3", "pearson"])
def test_batches_that_do_not_differ_leave_the_choice_as_it_is(tmp_path, by):
    rng = np.random.default_rng(1)
    counts = drawn_genes(rng, 400, 300)
    counts = counts[:, counts.any(axis=0)]
    options = DatasetOptions(variable_genes=60, variable_genes_by=by)
    without = chosen(tmp_path, options, make_adata(counts))
    own = {"one": np.full(400, "x"), "eight": rng.integers(0, 8, 400).astype(str)}
    of = {name: chosen(tmp_path, replace(options, batch=name), make_adata(counts, **own))
          for name in own}  # fmt: skip
    np.testing.assert_array_equal(of["one"]["variable_score"], without["variable_score"])
    both = (of["eight"]["selected"] == "variable") & (without["selected"] == "variable")
    assert both.sum() >= 57


def test_batches_lie_across_inputs_and_inputs_may_be_batches(tmp_path):
    rng = np.random.default_rng(2)
    counts, batch = drawn_genes(rng), rng.choice(["a", "b"], 300)
    parts = [make_adata(counts[rows], batch=batch[rows]) for rows in (slice(120), slice(120, 300))]
    options = DatasetOptions(variable_genes=30, batch="batch")
    across = chosen(tmp_path, options, *parts)
    whole = chosen(tmp_path, options, make_adata(counts, batch=batch))
    pd.testing.assert_frame_equal(across, whole)
    inputs = chosen(tmp_path, replace(options, batch="input"), *parts)
    named = make_adata(counts, batch=np.where(np.arange(300) < 120, "i0", "i1"))
    pd.testing.assert_frame_equal(inputs, chosen(tmp_path, options, named))


@pytest.mark.parametrize("conditions", [["only"] * 40, [""] * 40, [f"c{n}" for n in range(40)]])
def test_without_groups_there_is_nothing_to_test(conditions, caplog):
    table = condition_table([np.ones((40, 2))], [["P1", "P2"]], np.array(conditions))
    assert table.empty and {"effect", "adjusted_p", "called"} <= set(table.columns)
    assert "nothing" in caplog.text


def test_without_conditions_the_columns_are_those_with_them():
    conditions = np.repeat(["a", "b"], 20)
    usage = np.random.default_rng(0).random((40, 2))
    names = [["P1", "P2"]]
    full = condition_table([usage], names, conditions)
    assert list(condition_table([usage], names, np.full(40, "a")).columns) == list(full.columns)


def test_donors_that_are_no_groups_do_not_count(caplog):
    conditions = np.repeat(["a", "b"], 20)
    usage = np.random.default_rng(0).random((40, 2))
    donors = np.array([f"d{n}" for n in range(40)])
    table = condition_table([usage], [["P1", "P2"]], conditions, donors)
    assert set(table["unit"]) == {"cells"} and "donors: 40 of them" in caplog.text
