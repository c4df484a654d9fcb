"""Factors of batches: the estimate beside what was planted, and every way through a fit."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from helpers import dataset_of, least_cosine, make_adata
from neuralNMF.batches.effects import GroupSums, factors_beside, first_factors, shared_factors
from neuralNMF.batches.factors import Batches, batch_of_cells
from neuralNMF.cells.scaling import Scaling, batch_scale, fit_scaling, scaled_matrix
from neuralNMF.consensus.fit import add_layer
from neuralNMF.dataset import DatasetOptions, InputSpec, build_dataset
from neuralNMF.errors import InputError
from neuralNMF.evidence.usage import shares
from neuralNMF.fit import fit_layer
from neuralNMF.io.dataset import open_dataset, write_dataset
from neuralNMF.io.model import load_model, save_model
from neuralNMF.labels import check_groups
from neuralNMF.least_squares.batch_factors import learn_batches
from neuralNMF.new_cells.project import project
from neuralNMF.options import LayerOptions
from neuralNMF.sizes.trial import Trials
from neuralNMF.threads import SERIAL

BATCHES, GENES, PROGRAMS = 3, 240, 5
LIBRARY = {"normalize": "library", "gene_power": 0.5}
POISSON = {"loss": "nested_poisson", "beta": "learned"}


def centred(factors, codes):
    """With a geometric mean of one over the cells: what can be told of factors."""
    logs = np.log(factors)
    return np.exp(logs - np.bincount(codes) / codes.size @ logs)


def correlation(found, truth):
    return np.corrcoef(np.log(found).ravel(), np.log(truth).ravel())[0, 1]


def planted(seed=0, cells=1200, strength=0.4):
    """Counts, batches, and the truth: programs in other shares in each batch, factors."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, BATCHES, cells)
    programs = rng.gamma(0.3, 1.0, (PROGRAMS, GENES))
    programs /= programs.sum(axis=1, keepdims=True)
    composition = rng.dirichlet(np.full(PROGRAMS, 1.5), BATCHES)
    kinds = np.array([rng.choice(PROGRAMS, p=composition[code]) for code in codes])
    usage = rng.gamma(0.3, 0.3, (cells, PROGRAMS))
    usage[np.arange(cells), kinds] += rng.gamma(4.0, 0.5, cells)
    factors = centred(np.exp(rng.normal(0, strength, (BATCHES, GENES))), codes)
    rates = usage / usage.sum(axis=1, keepdims=True) @ programs * factors[codes]
    counts = rng.poisson(rates * rng.lognormal(7.0, 0.3, cells)[:, None])
    return counts, codes, programs, factors


@pytest.fixture(scope="module")
def truth():
    return planted(strength=0.6)


@pytest.fixture(scope="module")
def dataset(truth):
    counts, codes, _, _ = truth
    return dataset_of(counts, batch=pd.Categorical([f"b{code}" for code in codes]))


# ---- The estimate


def sums_of(values, codes, groups):
    batches, number = codes.max() + 1, groups.max() + 1
    sums = np.zeros((batches, number, values.shape[1]))
    np.add.at(sums, (codes, groups), values)
    cells = np.zeros((batches, number))
    np.add.at(cells, (codes, groups), 1.0)
    return GroupSums(sums, cells, np.square(values, dtype=np.float64).sum(axis=0))


def grouped_counts(rng, of_group=None, strength=0.4):
    """Counts of cells of known groups, in other shares in each of two batches."""
    codes = np.repeat([0, 1], 600)
    groups = np.concatenate(
        [rng.choice(4, 600, p=[0.4, 0.3, 0.2, 0.1]), rng.choice(4, 600, p=[0.1, 0.2, 0.3, 0.4])]
    )
    means = rng.gamma(0.5, 4.0, (4, 300))
    factors = centred(np.exp(rng.normal(0, strength, (2, 300))), codes)
    rates = means[groups] * factors[codes]
    if of_group is not None:
        rates[(codes == 1) & (groups == 0)] *= of_group
    return rng.poisson(rates), codes, groups, factors


def test_the_factors_are_found_although_the_composition_differs():
    values, codes, groups, factors = grouped_counts(np.random.default_rng(0))
    sums = sums_of(values, codes, groups)
    effects = shared_factors(sums, first_factors(sums))
    assert correlation(effects.factors, factors) > 0.98
    # The batches' means alone take the composition for an effect of the batch.
    of_one = sums_of(values, codes, np.zeros_like(groups))
    assert correlation(first_factors(of_one), factors) < 0.95


def test_without_an_effect_the_factors_are_one():
    values, codes, groups, _ = grouped_counts(np.random.default_rng(1), strength=0.0)
    sums = sums_of(values, codes, groups)
    effects = shared_factors(sums, first_factors(sums))
    assert np.std(np.log(effects.factors)) < 0.02
    of_one = sums_of(values, codes, np.zeros_like(groups))
    assert np.std(np.log(first_factors(of_one))) > 0.2


def test_what_one_group_of_a_batch_has_alone_is_not_taken_away():
    rng = np.random.default_rng(2)
    of_group = np.exp(rng.normal(0, 0.7, 300))
    values, codes, groups, _ = grouped_counts(rng, of_group, strength=0.0)
    sums = sums_of(values, codes, groups)
    effects = shared_factors(sums, first_factors(sums))
    taken = np.log(effects.factors[1]) @ np.log(of_group) / (np.log(of_group) @ np.log(of_group))
    assert abs(taken) < 0.1
    assert effects.disagreement > 0.02


def test_a_group_that_a_batch_has_alone_says_nothing_of_it():
    values, codes, groups, factors = grouped_counts(np.random.default_rng(3))
    rare = np.where((groups == 3) & (codes == 1), 4, groups)
    kept = ~((groups == 3) & (codes == 0))
    alone = sums_of(values[kept], codes[kept], rare[kept])
    found = shared_factors(alone, first_factors(alone)).factors
    assert correlation(found, factors) > 0.97


def test_the_factors_of_a_new_batch_beside_what_is_expected():
    values, codes, groups, factors = grouped_counts(np.random.default_rng(4))
    sums = sums_of(values, codes, groups)
    expected = sums.values[0] / factors[0] * (sums.cells[1] / sums.cells[0])[:, None]
    found = factors_beside(sums.values[1], expected, noise=1.0, disagreement=0.001)
    assert correlation(found, factors[1]) > 0.96


# ---- The scale of the values


@pytest.mark.parametrize("transform", ["none", "sqrt", "log1p"])
@pytest.mark.parametrize("normalize", ["counts", "library"])
def test_the_values_of_a_batch_are_divided_by_its_factors(truth, dataset, transform, normalize):
    counts, codes, _, factors = truth
    batches = Batches("batch", ("b0", "b1", "b2"), factors)
    scaling = fit_scaling(dataset, normalize, transform, 0.5, np.float64, batches)
    plain = fit_scaling(dataset, normalize, transform, 0.0, np.float64)
    expected = scaled_matrix(sp.csr_matrix(counts.astype(float)), plain).toarray() / factors[codes]
    expected /= np.sqrt(expected.std(axis=0))
    found = scaled_matrix(sp.csr_matrix(counts.astype(float)), scaling).toarray()
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_cells_of_no_batch_that_is_known_stay_as_they_are():
    batches = Batches("batch", ("b", "a"), np.array([[2.0, 4.0], [5.0, 8.0]]))
    obs = pd.DataFrame({"batch": ["a", None, "b", "new", ""]})
    scale = batch_scale(batches, obs, np.float64)
    np.testing.assert_array_equal(scale.codes, [1, 2, 0, 2, 2])
    counts = sp.csr_matrix(np.full((5, 2), 40.0))
    scaling = Scaling(np.ones(5), np.ones(2), dtype=np.float64, batches=scale)
    expected = [[8, 5], [40, 40], [20, 10], [40, 40], [40, 40]]
    np.testing.assert_allclose(scaled_matrix(counts, scaling).toarray(), expected)
    assert batches.unknown(obs) == ["new"]


def test_the_inputs_are_batches_by_the_column_of_their_names():
    obs = pd.DataFrame({"dataset": ["x", "y"], "batch": ["1", "2"]})
    np.testing.assert_array_equal(batch_of_cells(obs, "input"), ["x", "y"])
    with pytest.raises(InputError, match="no column 'donor'"):
        batch_of_cells(obs, "donor")


# ---- Fits


@pytest.mark.parametrize("solver", [LIBRARY, POISSON], ids=["least squares", "poisson"])
def test_planted_programs_and_factors_are_found(truth, dataset, solver):
    _, codes, programs, factors = truth
    model = fit_layer(
        dataset, None, LayerOptions(PROGRAMS, batch="batch", **solver), progress=False
    )
    assert correlation(model.batches.factors, factors) > 0.95
    without = fit_layer(dataset, None, LayerOptions(PROGRAMS, **solver), progress=False)
    with_batches, without_batches = (
        least_cosine(each.betas[0] / each.var["gene_scale"].to_numpy(), programs)
        for each in (model, without)
    )
    assert with_batches > 0.98
    assert without_batches < with_batches
    np.testing.assert_allclose(centred(model.batches.factors, codes), model.batches.factors)


def test_all_layers_and_all_fits_of_a_consensus_have_the_same_factors(dataset):
    options = LayerOptions(PROGRAMS, batch="batch", consensus=True, **LIBRARY)
    first = add_layer(dataset, None, options, progress=False)
    alone = fit_layer(dataset, None, replace(options, consensus=False), progress=False)
    np.testing.assert_array_equal(first.batches.factors, alone.batches.factors)
    second = add_layer(dataset, first, replace(options, rank=2), progress=False)
    assert second.batches is first.batches
    assert (first.replication["replication"] > 0.9).all()


@pytest.mark.parametrize(
    "solver",
    [LIBRARY | {"transform": "log1p"}, {}, POISSON, {"loss": "nested_poisson", "beta": "pmf"}],
    ids=["log1p", "counts", "poisson", "pmf"],
)
def test_neither_threads_nor_streaming_change_the_bytes(truth, tmp_path, solver):
    counts, codes, _, _ = truth
    obs = pd.DataFrame({"batch": codes.astype(str)})
    write_dataset(tmp_path / "dataset.h5ad", sp.csr_matrix(counts.astype(np.float32)), obs=obs)
    dataset = open_dataset(tmp_path / "dataset.h5ad")
    files = []
    for threads, held in ((1, None), (3, 300)):
        options = LayerOptions(
            3, epochs=5, batch="batch", threads=threads, data_mem_size=held, **solver
        )
        save_model(tmp_path / "model.h5nnmf", fit_layer(dataset, None, options, progress=False))
        files.append((tmp_path / "model.h5nnmf").read_bytes())
    assert files[0] == files[1]


PMF = {"loss": "nested_poisson", "beta": "pmf"}
GUIDE = {"guide": 5.0, "labels": "kind"}


@pytest.mark.parametrize(
    "solver",
    [LIBRARY | {"beta": "learned"}, PMF, POISSON | GUIDE, PMF | GUIDE],
    ids=["learned", "pmf", "guided", "guided pmf"],
)
def test_a_fit_with_factors_is_that_of_counts_divided_by_them(truth, solver):
    counts, codes, _, factors = (each[:300] if len(each) == 1200 else each for each in truth)
    names = ("b0", "b1", "b2")
    known = {"total_counts": counts.sum(axis=1) * 1.0, "selected_counts": counts.sum(axis=1) * 1.0}
    known["kind"] = np.where(counts[:, 0] > np.median(counts[:, 0]), "many", "few")
    given = dataset_of(counts, batch=np.array(names)[codes], **known)
    divided = dataset_of(counts / factors[codes], **known)
    options = LayerOptions(3, epochs=4, min_support=0, **solver)
    batches = Batches("batch", names, factors)
    model = fit_layer(given, None, replace(options, batch="batch"), batches=batches, progress=False)
    expected = fit_layer(divided, None, options, progress=False)
    # The library sizes of a Poisson model are those of the counts as they are.
    usages = shares(model.thetas[0]), shares(expected.thetas[0])
    np.testing.assert_allclose(*usages, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(model.betas[0], expected.betas[0], rtol=1e-3, atol=1e-5)


def test_all_sizes_are_tried_with_the_same_factors_taken_out():
    counts, codes, _, _ = planted(seed=1, cells=400, strength=0.8)
    dataset = dataset_of(counts[:, :120], batch=codes.astype(str))
    options = LayerOptions(1, epochs=10, batch="batch", **LIBRARY)
    trials = Trials(dataset, options, progress=False)
    row = trials.first_layers([4])
    assert list(row["status"]) == ["fine"]
    assert 0 < row["held_out"].iloc[0] < 1
    factors = learn_batches(dataset, options, SERIAL).factors
    np.testing.assert_array_equal(trials.model([4]).batches.factors, factors)


def test_the_model_file_holds_the_factors(dataset, tmp_path):
    options = LayerOptions(3, epochs=2, batch="batch", **LIBRARY)
    model = fit_layer(dataset, None, options, progress=False)
    save_model(tmp_path / "model.h5nnmf", model)
    read = load_model(tmp_path / "model.h5nnmf")
    np.testing.assert_array_equal(read.batches.factors, model.batches.factors)
    assert replace(read.batches, factors=None) == replace(model.batches, factors=None)
    model.batches = replace(model.batches, factors=model.batches.factors[:1])
    with pytest.raises(InputError, match="factors of the batches"):
        model.check()


def test_without_batches_nothing_is_said_of_them(dataset, tmp_path):
    model = fit_layer(dataset, None, LayerOptions(3, epochs=2), progress=False)
    assert model.batches is None
    assert "batch" not in model.info["options"]


def test_layers_share_the_column_of_batches(dataset):
    first = fit_layer(dataset, None, LayerOptions(4, epochs=2), progress=False)
    with pytest.raises(InputError, match="batch differ"):
        fit_layer(dataset, first, LayerOptions(2, batch="batch"), progress=False)


@pytest.mark.parametrize(
    ("column", "sentence"), [("batch", "only 'b0'"), ("chip", "no column 'chip'")]
)
def test_a_single_batch_or_a_missing_column_ends_in_a_sentence(truth, column, sentence):
    counts, codes, _, _ = truth
    one = dataset_of(counts[codes == 0], batch="b0")
    with pytest.raises(InputError, match=sentence):
        fit_layer(one, None, LayerOptions(3, batch=column), progress=False)


# ---- New cells


@pytest.mark.parametrize("solver", [LIBRARY, POISSON], ids=["least squares", "poisson"])
def test_new_cells_of_known_and_of_unknown_batches(truth, tmp_path, solver):
    import anndata

    counts, codes, _, factors = truth
    names = np.array([f"b{code}" for code in codes])
    fitted = dataset_of(counts[codes < 2], batch=names[codes < 2])
    options = LayerOptions(PROGRAMS, batch="batch", **solver)
    model = fit_layer(fitted, None, options, progress=False)
    model.var["symbol"] = model.var.index

    def file_of(which, **columns):
        cells = anndata.AnnData(
            sp.csr_matrix(counts[which].astype(np.float32)),
            pd.DataFrame(columns, index=[f"cell{i}" for i in np.flatnonzero(which)]),
            pd.DataFrame(index=model.var.index),
        )
        cells.write_h5ad(tmp_path / "new.h5ad")
        return tmp_path / "new.h5ad"

    known = project(model, file_of(codes < 2, batch=names[codes < 2]), progress=False)
    np.testing.assert_allclose(known.thetas[0], model.thetas[0], rtol=1e-4, atol=1e-4)
    assert known.batches.names == ("b0", "b1")
    new = project(model, file_of(codes == 2, batch=names[codes == 2]), progress=False)
    assert new.batches.names == ("b0", "b1", "b2")
    # The model's own factors have a mean of one over its batches, the new ones are beside that.
    expected = factors[2] / np.exp(np.log(factors[:2]).mean(axis=0))
    assert correlation(new.batches.factors[2], expected) > 0.9
    save_model(tmp_path / "new_cells.h5ad", new)
    assert load_model(tmp_path / "new_cells.h5ad").batches.names == ("b0", "b1", "b2")
    # Without the column, the input is a batch of its own.
    unnamed = project(model, file_of(codes == 2), progress=False)
    assert unnamed.batches.names == ("b0", "b1", "new")
    np.testing.assert_array_equal(unnamed.thetas[0], new.thetas[0])


def test_a_name_for_each_cell_is_no_batch():
    check_groups(np.repeat(["a", "b"], 5), "batch", "plate")
    check_groups(np.array(["", "a"]), "batch", "plate")
    with pytest.raises(InputError, match="'batch: barcode' has 9 different values in 40 cells"):
        check_groups(np.array([*map(str, range(9)), *[""] * 31]), "batch", "barcode")


def test_a_batch_for_each_cell_is_refused_before_the_counts_are_read(tmp_path):
    barcodes = [f"b{n}" for n in range(40)]
    make_adata(np.ones((40, 30)), barcode=barcodes).write_h5ad(tmp_path / "a.h5ad")
    asked = DatasetOptions(batch="barcode", variable_genes=5)
    inputs = [InputSpec(tmp_path / "a.h5ad", "a")]
    with pytest.raises(InputError, match="no groups of cells"):
        build_dataset(inputs, tmp_path / "out.h5ad", asked, progress=False)
    assert not (tmp_path / "out.h5ad").exists()
