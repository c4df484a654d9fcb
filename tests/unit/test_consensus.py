"""Consensus: parts of the data, programs that several fits share, and layers that start there."""

import dataclasses
import logging

import numpy as np
import pandas as pd
import pytest
from helpers import cosine, dataset_of, least_cosine
from neuralNMF.consensus.fit import add_layer, most_programs
from neuralNMF.consensus.groups import grouped
from neuralNMF.consensus.parts import cells_of, halves, model_of_cells, thinned
from neuralNMF.consensus.replication import Found, replication_table
from neuralNMF.errors import InputError
from neuralNMF.fit import fit_layer
from neuralNMF.io.dataset import Dataset
from neuralNMF.io.model import Model, load_model, save_model
from neuralNMF.options import REAL_CELLS, LayerOptions

PROGRAMS = 6


def planted(cells: int = 600, genes: int = 60, seed: int = 0) -> tuple[Dataset, np.ndarray]:
    """Six programs, in pairs: counts of the cells and the programs (6, M), rows at sum one."""
    rng = np.random.default_rng(seed)
    programs = np.full((PROGRAMS, genes), 0.02)
    for k in range(PROGRAMS):
        programs[k, 5 * k : 5 * k + 5] += rng.gamma(2.0, 1.0, 5)
        programs[k, 30 + 10 * (k // 2) : 40 + 10 * (k // 2)] += 0.5
    programs /= programs.sum(axis=1, keepdims=True)
    usage = rng.gamma(0.2, 1.0, (cells, PROGRAMS)) + 1e-3
    usage *= 400 / usage.sum(axis=1, keepdims=True)
    kinds = pd.Categorical([f"kind{k}" for k in usage.argmax(axis=1)])
    return dataset_of(rng.poisson(usage @ programs), kind=kinds), programs


def options(rank: int = 9, **chosen: object) -> LayerOptions:
    return LayerOptions(rank, **{"epochs": 40, "threads": 1, "consensus": True, **chosen})


def in_counts(model: Model, layer: int = 0) -> np.ndarray:
    return model.betas[layer] / model.var["gene_scale"].to_numpy()


# Parts


def test_halves_are_disjoint_rising_and_of_one_size():
    pairs = halves(101, 3, np.random.default_rng(0))
    assert len(pairs) == 3
    for one, other in pairs:
        assert one.size == other.size == 50
        assert np.intersect1d(one, other).size == 0
        for half in (one, other):
            assert (np.diff(half) > 0).all()
            assert half.min() >= 0
            assert half.max() < 101
    assert not np.array_equal(pairs[0][0], pairs[1][0])


def test_halves_of_many_cells_are_capped():
    for one, other in halves(1000, 2, np.random.default_rng(0), most=30):
        assert one.size == other.size == 30
        assert np.intersect1d(one, other).size == 0


def test_a_half_has_the_counts_labels_and_usage_of_its_cells():
    dataset, _ = planted(80)
    cells = np.array([1, 4, 70])
    half = cells_of(dataset, cells)
    every = dataset.rows(0, 80).toarray()
    np.testing.assert_array_equal(half.rows(0, 3).toarray(), every[cells])
    assert half.obs["kind"].tolist() == dataset.obs["kind"].iloc[cells].tolist()
    assert half.obs.index.tolist() == ["cell1", "cell4", "cell70"]
    model = fit_layer(dataset, None, options(3, consensus=False, epochs=2), progress=False)
    part = model_of_cells(model, dataset, cells)
    np.testing.assert_array_equal(part.thetas[0], model.thetas[0][cells])
    np.testing.assert_array_equal(part.betas[0], model.betas[0])
    assert part.obs.index.equals(half.obs.index)


CELLS = 40_000


def correlations(one: Dataset, other: Dataset) -> np.ndarray:
    a, b = (part.rows(0, CELLS).toarray().astype(float) for part in (one, other))
    return np.array([np.corrcoef(a[:, j], b[:, j])[0, 1] for j in range(a.shape[1])])


@pytest.mark.parametrize("overdispersion", [0.0, 0.5, 2.0])
def test_thinned_halves_sum_to_the_counts_and_are_independent(overdispersion):
    rng = np.random.default_rng(1)
    mean = np.array([0.5, 2.0, 20.0])
    rates = np.tile(mean, (CELLS, 1))
    if overdispersion > 0:
        rates *= rng.gamma(1 / overdispersion, overdispersion, (CELLS, 3))
    counts = rng.poisson(rates)
    dataset = dataset_of(counts)
    one, other = thinned(dataset, np.full(3, overdispersion), np.random.default_rng(2))
    parts = [part.rows(0, CELLS).toarray() for part in (one, other)]
    np.testing.assert_array_equal(parts[0] + parts[1], counts)
    # Four standard errors of a correlation of nothing.
    assert np.abs(correlations(one, other)).max() < 4 / np.sqrt(CELLS)
    for part, dense in zip((one, other), parts, strict=True):
        np.testing.assert_allclose(dense.mean(axis=0), mean / 2, rtol=0.06)
        np.testing.assert_array_equal(part.obs["selected_counts"], dense.sum(axis=1))
        np.testing.assert_allclose(part.obs["total_counts"], dense.sum(axis=1))
        assert (part.rows(0, CELLS).data > 0).all()
        variance = mean / 2 + 2 * overdispersion * (mean / 2) ** 2
        np.testing.assert_allclose(dense.var(axis=0), variance, rtol=0.12)


def test_binomial_halves_of_overdispersed_counts_are_not_independent():
    rng = np.random.default_rng(1)
    counts = rng.poisson(20 * rng.gamma(2.0, 0.5, (CELLS, 1)))
    one, other = thinned(dataset_of(counts), np.zeros(1), np.random.default_rng(2))
    # Of the shares of variance: b m^2 / 4 of m / 2 + b m^2 / 4, m = 20 and b = 0.5.
    np.testing.assert_allclose(correlations(one, other), 50 / 60, atol=0.02)


def test_totals_are_split_as_the_selected_counts_are():
    dataset = dataset_of(np.array([[6, 2], [0, 5], [1, 0]]))
    dataset.obs["total_counts"] *= 3
    one, other = thinned(dataset, np.zeros(2), np.random.default_rng(0))
    for part in (one, other):
        np.testing.assert_allclose(part.obs["total_counts"], 3 * part.obs["selected_counts"])
    assert (one.obs["selected_counts"] + other.obs["selected_counts"]).tolist() == [8, 5, 1]


# Groups


def fits_with(shared: dict[int, int], fits: int = 6, cells: int = 300) -> tuple[list, list]:
    """Usages and programs of fits: program k in the first ``shared[k]`` of them, with noise."""
    rng = np.random.default_rng(0)
    truth = {k: (rng.gamma(0.5, 1.0, cells), rng.dirichlet(np.full(20, 0.3))) for k in shared}
    usages, programs = [], []
    for fit in range(fits):
        found = [truth[k] for k, times in shared.items() if fit < times]
        # Each fit has a program of its own.
        found.append((rng.gamma(0.5, 1.0, cells), rng.dirichlet(np.full(20, 0.3))))
        usages.append(np.stack([u * rng.normal(1, 0.1, cells).clip(0.1) for u, _ in found], 1))
        programs.append(np.stack([p for _, p in found]))
    return usages, programs


def test_programs_of_four_of_six_fits_are_kept_and_of_three_not():
    usages, programs = fits_with({0: 6, 1: 4, 2: 3})
    found = grouped(usages, programs, 9)
    np.testing.assert_allclose(found, programs[0][:2], atol=1e-12)


def test_where_none_is_shared_the_most_found_one_is_kept():
    usages, programs = fits_with({0: 2})
    found = grouped(usages, programs, 9)
    np.testing.assert_allclose(found, programs[0][:1], atol=1e-12)


def test_no_more_are_kept_than_asked_for_the_most_found_first():
    usages, programs = fits_with({0: 4, 1: 6, 2: 5})
    found = grouped(usages, programs, 2)
    np.testing.assert_allclose(found, programs[0][1:3], atol=1e-12)


def test_a_program_is_the_median_of_its_group_at_sum_one():
    usage = np.random.default_rng(0).random((50, 1))
    programs = [np.array([row]) for row in ([0.1, 0.2, 0.7], [0.3, 0.3, 0.4], [0.9, 0.1, 0.0])]
    found = grouped([usage, 2 * usage, 3 * usage], programs, 1)
    np.testing.assert_allclose(found, np.array([[0.3, 0.2, 0.4]]) / 0.9)


def test_a_median_without_a_gene_gives_way_to_the_mean():
    usage = np.random.default_rng(0).random((50, 1))
    found = grouped([usage] * 3, list(np.eye(3)[:, None]), 1)
    np.testing.assert_allclose(found, np.full((1, 3), 1 / 3))


def test_dead_programs_are_no_group():
    usages, programs = fits_with({0: 2})
    dead = [np.c_[np.zeros(len(usage)), usage] for usage in usages]
    zeros = [np.r_[np.zeros((1, 20)), rows] for rows in programs]
    found = grouped(dead, zeros, 9)
    np.testing.assert_allclose(found, programs[0][:1], atol=1e-12)
    alone = grouped([np.c_[np.zeros(300), usages[0]]], [np.r_[np.zeros((1, 20)), programs[0]]], 9)
    assert np.isfinite(alone).all()
    assert len(alone) == 2


# Sizes of later layers


@pytest.mark.parametrize(
    ("there", "asked", "rank", "most"),
    [
        (20, 20, 10, 10),  # nothing is missing
        (17, 20, 10, 10),  # still fewer than two thirds
        (7, 20, 10, 5),
        (5, 10, 5, 3),
        (15, 20, 18, 14),  # nine tenths were asked for
        (2, 20, 10, 1),
        (1, 20, 10, 1),
    ],
)
def test_a_layer_above_one_that_lost_programs_is_smaller(there, asked, rank, most):
    previous = Model(
        [np.ones((9, there))],
        [np.ones((there, 9))],
        [np.zeros(there, bool)],
        pd.DataFrame(),
        pd.DataFrame(),
        info={"options": {"rank": asked}},
    )
    assert most_programs(previous, rank) == most
    assert most_programs(None, rank) == rank


# Replication


def test_replication_by_hand():
    rng = np.random.default_rng(0)
    usage, noise = rng.random((2, 400, 3))
    programs = np.eye(3, 5) + 0.1
    own = Found(usage, programs)
    # One half has the first two in another order; the other one uses the third in other cells.
    one = Found(usage[:, [1, 0, 2]], programs[[1, 0, 2]])
    other = Found(np.c_[usage[:, :2], noise[:, 2]], programs)
    table = replication_table([own], [([one], [other])] * 3, [([one], [one])] * 2)
    assert table["layer"].tolist() == [1, 1, 1]
    assert table["program"].tolist() == [1, 2, 3]
    expected = np.corrcoef(usage[:, 2], noise[:, 2])[0, 1]
    np.testing.assert_allclose(table["replication"], [1, 1, expected], atol=1e-12)
    np.testing.assert_allclose(table["gene_cosine"], 1)
    assert table["replicated"].tolist() == [True, True, False]
    np.testing.assert_allclose(table["stability"], 1)


def test_a_program_without_a_partner_is_not_found_again():
    usage = np.random.default_rng(0).random((400, 3))
    own, part = Found(usage, np.eye(3)), Found(usage[:, :2], np.eye(3)[:2])
    table = replication_table([own], [([own], [part])], [([own], [own])])
    assert table["replication"].round(12).tolist() == [1, 1, 0]
    assert table["gene_cosine"].tolist() == [1, 1, 0]
    np.testing.assert_allclose(table["stability"], 1)


def test_replication_is_the_median_of_the_splits():
    rng = np.random.default_rng(0)
    usage = rng.random((400, 1))
    own = Found(usage, np.ones((1, 2)))
    noisy = [Found(usage + rng.normal(0, s, usage.shape), np.ones((1, 2))) for s in (0.1, 0.3, 1)]
    table = replication_table([own], [([own], [other]) for other in noisy], [([own], [own])])
    middle = np.corrcoef(usage[:, 0], noisy[1].usage[:, 0])[0, 1]
    np.testing.assert_allclose(table["replication"], middle)


# Layers


@pytest.fixture(scope="module")
def data() -> tuple[Dataset, np.ndarray]:
    return planted()


@pytest.fixture(scope="module")
def model(data) -> Model:
    return add_layer(data[0], None, options(), progress=False)


def test_as_many_programs_as_there_are(data, model):
    assert model.layers == [PROGRAMS]
    assert least_cosine(in_counts(model), data[1]) >= 0.99
    assert model.replication["replicated"].tolist() == [True] * PROGRAMS
    # Without it the layer has what was asked for.
    assert fit_layer(data[0], None, options(consensus=False), progress=False).layers[0] > PROGRAMS


def test_a_second_layer_and_the_model_file(data, model, tmp_path):
    both = add_layer(data[0], model, options(4), progress=False)
    assert both.layers[0] == PROGRAMS
    assert both.layers[1] <= 4
    assert both.replication["layer"].tolist() == [1] * PROGRAMS + [2] * both.layers[1]
    assert both.replication["replicated"].all()
    save_model(tmp_path / "layer2.h5nnmf", both)
    back = load_model(tmp_path / "layer2.h5nnmf").replication
    pd.testing.assert_frame_equal(back, both.replication)


@pytest.mark.parametrize(
    "kind",
    [{"beta": "learned", "loss": "nested_poisson"}, {**REAL_CELLS, "precision": "float64"}],
    ids=["poisson", "real cells"],
)
def test_other_kinds_of_model(data, kind):
    found = add_layer(data[0], None, options(8, **kind), progress=False)
    assert found.replication["replicated"].sum() >= PROGRAMS
    # The logarithm bends the planted programs: more of them are needed, and found again.
    if "loss" in kind:
        assert found.layers == [PROGRAMS]
        assert least_cosine(in_counts(found), data[1]) >= 0.99


def test_same_seed_same_bytes(data, model, tmp_path):
    def saved(**chosen: object) -> bytes:
        again = add_layer(data[0], None, options(**chosen), progress=False)
        save_model(tmp_path / "model.h5nnmf", again)
        return (tmp_path / "model.h5nnmf").read_bytes()

    save_model(tmp_path / "model.h5nnmf", model)
    expected = (tmp_path / "model.h5nnmf").read_bytes()
    assert saved(threads=2) == expected
    assert saved(data_mem_size=100) == expected
    other = add_layer(data[0], None, options(seed=1), progress=False)
    assert not np.array_equal(other.replication["replication"], model.replication["replication"])


def test_without_consensus_nobody_looks(data):
    plain = add_layer(data[0], None, options(5, consensus=False, epochs=2), progress=False)
    assert plain.replication.empty
    assert plain.layers == [5]


@pytest.mark.parametrize(("cells", "rank"), [(150, 4), (210, 53)])
def test_too_few_cells_are_fitted_without(cells, rank, caplog):
    dataset, _ = planted(cells)
    with caplog.at_level("WARNING"):
        found = add_layer(dataset, None, options(rank, epochs=2), progress=False)
    assert found.replication.empty
    sentence = f"without 'consensus': {cells} cells are too few for {rank} programs"
    assert sentence in caplog.text


def test_the_log_says_nothing_of_what_halves_give_up(data, caplog):
    with caplog.at_level(logging.INFO, "neuralNMF"):
        add_layer(data[0], None, options(epochs=5), progress=False)
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
    assert f"of 9 programs asked for, {PROGRAMS} are found in most fits" in caplog.text


@pytest.mark.parametrize("kind", [{}, REAL_CELLS, {"beta": "learned", "loss": "nested_poisson"}])
def test_genes_and_cells_that_a_half_has_no_counts_of(kind):
    rng = np.random.default_rng(0)
    counts = planted(240)[0].rows(0, 240).toarray()
    counts[:, :8] = 0
    counts[rng.integers(240, size=8), np.arange(8)] = 1  # one half has none
    counts[:, 8] = 3  # does not vary
    found = add_layer(dataset_of(counts), None, options(7, epochs=5, **kind), progress=False)
    assert np.isfinite(found.replication["replication"]).all()
    for part in (*found.thetas, *found.betas):
        assert np.isfinite(part).all()


@pytest.mark.parametrize("kept", [1, 2])
def test_a_later_layer_of_few_programs(data, kept):
    asked = options(5, consensus=False, epochs=5)
    first = fit_layer(data[0], None, asked, programs=data[1][:kept], progress=False)
    assert first.layers == [kept]
    both = add_layer(data[0], first, options(3, epochs=5), progress=False)
    assert both.layers == [kept, 1]
    assert len(both.replication) == kept + 1


def test_a_half_without_counts_in_some_cells_can_be_fitted(data):
    half, _ = thinned(data[0], np.zeros(data[0].shape[1]), np.random.default_rng(0))
    counts = half.rows(0, half.shape[0]).toarray()
    counts[:7] = 0
    for kind in ({}, REAL_CELLS, {"beta": "learned", "loss": "nested_poisson"}):
        plain = options(4, consensus=False, epochs=5, **kind)
        found = fit_layer(dataset_of(counts), None, plain, progress=False)
        assert (found.thetas[0][:7] == 0).all()
        assert np.isfinite(found.thetas[0]).all()


def test_all_fits_are_on_the_device_that_is_asked_for(data, monkeypatch):
    from neuralNMF.consensus import fit, half_fits

    seen = []

    def spy(dataset, previous, options, **others):
        seen.append((options.device, options.precision, options.threads))
        return fit_layer(dataset, previous, dataclasses.replace(options, device="cpu"), **others)

    for module in (fit, half_fits):
        monkeypatch.setattr(module, "fit_layer", spy)
    asked = options(epochs=2, device="cuda", precision="float64")
    add_layer(data[0], None, asked, progress=False)
    assert seen == [("cuda", "float64", 1)] * 9


# Where a layer starts


@pytest.mark.parametrize(
    "kind", [{}, REAL_CELLS, {"beta": "learned", "loss": "nested_poisson"}], ids=str
)
def test_without_epochs_the_given_programs_stay(data, kind):
    chosen = options(7, consensus=False, epochs=0, **kind)
    found = fit_layer(data[0], None, chosen, programs=data[1], progress=False)
    assert found.layers == [PROGRAMS]
    # Least squares end with the programs that the usage gives, a logarithm with bent ones.
    limit = 1 - 1e-6 if "loss" in kind else 0.9 if "transform" in kind else 0.99
    assert least_cosine(in_counts(found), data[1]) > limit
    # The first two of the fine programs are one of the coarse ones.
    above = np.stack([data[1][:2].mean(axis=0), data[1][2:].mean(axis=0)])
    both = fit_layer(
        data[0], found, dataclasses.replace(chosen, rank=5), programs=above, progress=False
    )
    assert both.layers == [PROGRAMS, 2]
    fine = cosine(in_counts(both), data[1]).argmax(axis=1)
    coarse = cosine(in_counts(both, 1), above).argmax(axis=1)
    np.testing.assert_array_equal(coarse[both.thetas[1].argmax(axis=1)], fine >= 2)
    if "loss" in kind:
        assert least_cosine(in_counts(both, 1), above) > limit


@pytest.mark.parametrize("shape", [(3, 59), (10, 60), (0, 60), (60,)])
def test_programs_of_another_shape_are_refused(data, shape):
    with pytest.raises(InputError, match="programs to start from have shape"):
        fit_layer(data[0], None, options(9), programs=np.ones(shape), progress=False)


def test_a_guided_fit_takes_no_consensus():
    with pytest.raises(InputError, match="'guide' leads the fit by labels and 'consensus'"):
        LayerOptions(
            5, beta="learned", loss="nested_poisson", guide=1.0, labels="kind", consensus=True
        )


def test_without_the_exact_usage_the_programs_are_the_same():
    dataset, _ = planted(200)
    wanted = options(4, consensus=False)
    exact, rough = (
        fit_layer(dataset, None, wanted, progress=False, exact_usage=each) for each in (True, False)
    )
    # In the order of their usage, which may have changed.
    alike = np.isclose(exact.betas[0][:, None], rough.betas[0], rtol=1e-9).all(axis=2)
    order = alike.argmax(axis=1)
    assert alike.any(axis=1).all()
    moved = rough.thetas[0][:, order]
    np.testing.assert_allclose(exact.thetas[0], moved, atol=0.05 * moved.max())
    assert not np.allclose(exact.thetas[0], moved, atol=1e-6 * moved.max())
    assert rough.info["usage_weights"] == exact.info["usage_weights"]
