"""Agreement of programs with labels and with the truth, each measure where its figure is known."""

import logging

import numpy as np
import pytest
from neuralNMF.evidence import agreement, label_scores
from neuralNMF.evidence.agreement import hierarchy, knn_accuracy, label_agreement
from neuralNMF.evidence.label_scores import counted, sampled
from neuralNMF.evidence.matching import match_by_genes, matched_correlations, tree_recovered
from neuralNMF.evidence.truth import compare_with_truth
from neuralNMF.labels import label_names
from pandas import Series


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def one_hot(labels):
    return (labels[:, None] == np.unique(labels)).astype(float)


def plain_precision(positive, score):
    """Mean over the positive cells of the precision at their rank; no score comes twice."""
    order = np.argsort(-score)
    hits = positive[order]
    return np.mean((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits])


def plain_area(positive, score):
    """Chance that a positive cell has the higher score of a pair."""
    pairs = score[positive][:, None] - score[~positive]
    return np.mean((pairs > 0) + 0.5 * (pairs == 0))


def test_scores_are_their_formulas(rng):
    usage = rng.gamma(0.5, size=(90, 3))
    labels = rng.permutation(np.repeat(["x", "y", "z"], 30))
    scores = label_scores.label_scores(usage, labels)
    shares = usage / usage.sum(axis=1, keepdims=True)
    for n, name in enumerate(["x", "y", "z"]):
        for k in range(3):
            is_it = labels == name
            expected = plain_precision(is_it, shares[:, k])
            assert scores.average_precision[n, k] == pytest.approx(expected)
            assert scores.auroc[n, k] == pytest.approx(plain_area(is_it, shares[:, k]))
    assert scores.of_labels()[0] == pytest.approx(scores.average_precision.max(axis=1).mean())


def test_the_best_label_is_not_the_most_frequent_one(rng):
    """Average precision itself is higher for the frequent label, whatever the program tells."""
    labels = np.repeat(["frequent", "rare"], [950, 50])
    usage = rng.uniform(size=(1000, 3))
    usage[950:, 0] += 8
    usage[:, 2] = 0
    scores = label_scores.label_scores(usage, labels)
    names, precision, area = scores.of_programs()
    assert names[0] == "rare" and scores.average_precision[0, 0] > precision[0]
    assert list(names[2:]) == [""] and np.isnan([precision[2], area[2]]).all()
    assert area[0] > 0.9


def test_cells_without_label_and_small_classes_do_not_count(caplog):
    labels = np.repeat(["many", "few", "", "other"], [20, 19, 30, 25])
    assert counted(labels).sum() == 45
    usage = one_hot(labels) + 0.01
    scores = {"label": [label_scores.label_scores(usage, labels)]}
    assert list(scores["label"][0].names) == ["many", "other"]
    with caplog.at_level(logging.INFO):
        table = label_agreement([usage], [usage], {"label": labels}, scores)
    row = table.iloc[0]
    assert (row.label_classes, row.label_cells, row.label_left_out) == (2, 45, "few")
    assert "45 of 94 cells; without one: 30, in classes under 20 cells: 19 (few)" in caplog.text
    assert row.label_average_precision == row.label_auroc == row.label_knn_accuracy == 1


def test_one_label_that_counts_gives_no_figure():
    labels = np.repeat(["many", "few"], [40, 5])
    scores = label_scores.label_scores(np.ones((45, 2)), labels)
    table = label_agreement(
        [np.ones((45, 2))], [np.ones((45, 2))], {"label": labels}, {"label": [scores]}
    )
    assert table.filter(regex="precision|auroc|knn|ari|nmi").isna().all(axis=None)
    assert list(scores.of_programs()[0]) == ["", ""]


def test_labels_of_any_type_and_missing_ones():
    column = Series([1, np.nan, 3], dtype="category", name="cluster")
    assert list(label_names(column)) == ["1", "", "3"]
    assert list(label_names(Series(["a ", None, "", "b"]))) == ["a", "", "", "b"]


def test_knn_leaves_the_cell_itself_out():
    rows = np.array([[0.0], [0.1], [10.0], [10.1]])
    assert knn_accuracy(rows, np.array(["x", "y", "x", "y"]), neighbours=1) == 0


def test_many_cells_are_sampled_alike_each_time(monkeypatch, caplog, rng):
    cells = rng.uniform(size=1000) < 0.5
    drawn = sampled(cells, 100)
    assert drawn.sum() == 100 and not (drawn & ~cells).any()
    np.testing.assert_array_equal(drawn, sampled(cells, 100))
    np.testing.assert_array_equal(sampled(cells, 1000), cells)

    monkeypatch.setattr(agreement, "MOST_NEIGHBOURS", 100)
    seen = []
    monkeypatch.setattr(agreement, "knn_accuracy", lambda rows, labels: seen.append(len(rows)))
    labels = rng.permutation(np.repeat(["x", "y"], 300))
    usage = one_hot(labels)
    scores = {"label": [label_scores.label_scores(usage, labels)]}
    with caplog.at_level(logging.INFO):
        label_agreement([usage], [usage], {"label": labels}, scores)
    assert seen == [100]
    assert "neighbours of a random sample of 100 cells" in caplog.text


def test_hierarchy_is_the_flow_into_the_program_of_the_coarse_label():
    fine = np.repeat(["a1", "a2", "b1"], 40)
    coarse = np.repeat(["a", "a", "b"], 40)
    into = np.array([[3.0, 1.0], [1.0, 0.0], [0.0, 2.0]])
    expected = (0.75 + 1 + 1) / 3
    assert hierarchy([one_hot(fine), into], fine, coarse) == pytest.approx(expected)
    again = hierarchy([one_hot(fine), into, np.eye(2)[::-1]], fine, coarse)
    assert again == pytest.approx(expected)
    assert np.isnan(hierarchy([one_hot(fine)], fine, coarse))


@pytest.mark.parametrize("nested", [True, False])
def test_the_table_has_a_hierarchy_where_the_labels_are_nested(nested, caplog, rng):
    fine = np.repeat(["a1", "a2", "b1"], 40)
    coarse = np.char.replace(fine, "1", "").astype(object)
    coarse[fine == "a2"] = "a"
    if not nested:
        coarse = rng.permutation(coarse)
    coarse = coarse.astype(str)
    thetas = [one_hot(fine), np.array([[3.0, 1.0], [1.0, 0.0], [0.0, 2.0]])]
    usages = [thetas[0], thetas[0] @ thetas[1]]
    labels = {"label": fine, "coarse_label": coarse}
    scores = {
        name: [label_scores.label_scores(usage, values) for usage in usages]
        for name, values in labels.items()
    }
    with caplog.at_level(logging.INFO):
        table = label_agreement(thetas, usages, labels, scores)
    assert list(table["layer"]) == [1, 2] and list(table["programs"]) == [3, 2]
    assert np.isnan(table["hierarchy"][0])
    if nested:
        assert table["hierarchy"][1] == pytest.approx((0.75 + 1 + 1) / 3)
    else:
        assert np.isnan(table["hierarchy"][1])
        assert caplog.text.count("no hierarchy") == 1
    assert table["label_ari"][0] == 1
    assert table["coarse_label_auroc"][1] <= 1


# The truth


def test_the_truth_in_another_order_and_scale_is_found_whole(rng):
    theta, beta = rng.gamma(0.5, size=(200, 4)), rng.gamma(0.5, size=(4, 30))
    scale = rng.gamma(2, size=30)
    found = beta[::-1] * scale * np.array([[1.0], [2.0], [3.0], [4.0]])
    table, alike = compare_with_truth(
        [theta[:, ::-1] * 7, theta[:, :2]], [found, found[2:]], theta, beta, gene_scale=scale
    )
    np.testing.assert_allclose(table.drop(columns="true_programs"), 1)
    whole = alike[alike["matched"]]
    pairs = list(zip(whole["layer"], whole["program"], whole["true_program"], strict=True))
    assert pairs[:4] == [(1, f"P{5 - k}", f"T{k}") for k in range(1, 5)]
    assert pairs[4:] == [(2, "P2", "T1"), (2, "P1", "T2")]
    np.testing.assert_allclose(whole["cosine"], 1)
    np.testing.assert_allclose(whole["correlation"][:4], 1)
    assert (alike.loc[~alike["matched"], "cosine"] < 0.99).all() and len(alike) == 24
    noise = rng.gamma(0.5, size=(200, 4))
    worse, _ = compare_with_truth([noise], [rng.gamma(0.5, size=(4, 30))], theta, beta)
    assert worse["usage_correlation_mean"][0] < 0.3
    assert worse["cosine_least"][0] < 0.8


def test_programs_are_matched_by_genes_one_to_one():
    planted = np.eye(3)
    found = np.array([[0.0, 1.0, 0.0], [0.1, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    match, cosines = match_by_genes(found, planted)
    assert list(match[[0, 2]]) == [1, 0]
    assert sorted(match) == [-1, 0, 1, 2]
    assert cosines[0] == 1 and np.isnan(cosines[match == -1]).all()


def test_usage_is_matched_by_its_correlation(rng):
    usage = rng.gamma(0.5, size=(300, 3))
    other = np.stack([usage[:, 1] + usage[:, 0], usage[:, 0], np.full(300, 2.0)], axis=1)
    expected = np.corrcoef(usage[:, 1], other[:, 0])[0, 1]
    np.testing.assert_allclose(matched_correlations(usage, other), [1, expected, 0], atol=1e-12)


def test_the_tree_counts_planted_programs_below_the_right_one():
    planted = np.array([0, 0, 1, 1])
    fine, coarse = np.array([3, 2, 1, -1]), np.array([1, 0])  # the planted program 0 is not found
    assert tree_recovered(np.array([0, 0, 1, 1]), planted, fine, coarse) == 0.75
    assert tree_recovered(np.array([0, 1, 1, 1]), planted, fine, coarse) == 0.5
    assert tree_recovered(np.array([0, -1, 1, 1]), planted, fine, coarse) == 0.5
