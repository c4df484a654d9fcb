"""Evidence for programs: support counts cells, markers are the genes that only one program has."""

import anndata
import numpy as np
import pandas as pd
import pytest
from neuralNMF.evidence import support as module
from neuralNMF.evidence.layer import layer_evidence
from neuralNMF.evidence.markers import marker_scores, top_markers
from neuralNMF.evidence.support import support


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def test_support_counts_the_cells_of_equal_shares():
    usage = np.zeros((100, 4))
    usage[:60, 0] = 7.0
    usage[60:97, 1] = np.linspace(1, 50, 37)  # shares of 1, however much the cell expresses
    usage[97:, 2] = 1.0
    np.testing.assert_allclose(support(usage), [60, 37, 3, 0])


def test_traces_in_many_cells_do_not_hide_that_a_program_lives_in_three():
    usage = np.ones((5000, 2))
    usage[:, 1] = 0.01
    usage[:3, 1] = 9.0
    few = support(usage)[1]
    assert 3 <= few < 5
    shares = usage[:, 1] / usage.sum(axis=1)
    assert shares.sum() ** 2 / (shares**2).sum() > 500  # what the plain index makes of it


def test_support_is_the_formula_and_does_not_ask_how_large_cells_are(rng, monkeypatch):
    usage = rng.gamma(0.3, size=(50, 5)).astype(np.float32)
    usage[:4] = 0
    shares = usage[4:].astype(np.float64)
    shares /= shares.sum(axis=1, keepdims=True)
    expected = (shares**2).sum(axis=0) ** 2 / (shares**4).sum(axis=0)
    np.testing.assert_allclose(support(usage), expected, rtol=1e-12)
    np.testing.assert_allclose(support(usage * rng.gamma(1, size=(50, 1))), expected, rtol=1e-4)
    monkeypatch.setattr(module, "CELLS_AT_A_TIME", 7)
    np.testing.assert_allclose(support(usage), expected, rtol=1e-12)


def test_tiny_usage_does_not_vanish():
    usage = np.full((20, 2), 1e-30, dtype=np.float32)
    np.testing.assert_allclose(support(usage), [20, 20])


# Markers


@pytest.fixture
def programs(rng):
    """Five programs (5, 40) of 300 cells: four that share a background and have five genes each."""
    beta = np.tile(rng.gamma(1, size=40), (5, 1))
    beta[:, :20] = 0.5
    for k in range(4):
        beta[k, 5 * k : 5 * k + 5] += [8, 7, 6, 5, 4]
    beta[4] = 0
    beta[:4] /= beta[:4].sum(axis=1, keepdims=True)
    usage = rng.gamma(0.3, 500, size=(300, 5))
    usage[:, 4] = 0
    return beta, usage


def test_the_score_is_its_formula(programs, rng):
    beta, usage = programs
    gene_scale = rng.gamma(2, size=40)
    markers = marker_scores(beta, usage.sum(axis=0), gene_scale)
    expressed = np.zeros((5, 40))  # of each program in all cells, before the genes' factors
    for k in range(5):
        for j in range(40):
            expressed[k, j] = usage[:, k].sum() * beta[k, j] / gene_scale[j]
    for k in range(4):
        others = sum(expressed[i] for i in range(5) if i != k)
        floor = 1 / expressed[k].sum() + 0.1 / 40
        b = expressed[k] / expressed[k].sum() + floor
        p = others / others.sum() + floor
        np.testing.assert_allclose(markers.scores[k], 0.2 * np.log(b) + 0.8 * np.log(b / p))
        np.testing.assert_allclose(markers.log2_ratios[k], np.log2(b / p), atol=1e-12)
    assert not markers.scores[4].any() and not markers.log2_ratios[4].any()


def test_genes_of_a_program_mark_it_and_units_do_not_matter(programs, rng):
    beta, usage = programs
    best = top_markers(beta, marker_scores(beta, usage.sum(axis=0)), 5)
    assert [sorted(genes) for genes in best] == [[*range(5 * k, 5 * k + 5)] for k in range(4)] + [
        []
    ]
    # The same fit in units in which some genes are a hundred times as large.
    scale = np.where(rng.random(40) < 0.3, 100.0, 1.0)
    enlarged = beta * scale
    sums = enlarged.sum(axis=1)
    enlarged[:4] /= sums[:4, None]
    markers = marker_scores(enlarged, usage.sum(axis=0) * np.where(sums > 0, sums, 1), scale)
    for mine, other in zip(top_markers(enlarged, markers, 5), best, strict=True):
        np.testing.assert_array_equal(mine, other)


def test_a_gene_with_three_counts_does_not_mark(programs):
    beta, usage = programs
    totals = usage.sum(axis=0)
    rare = np.zeros((5, 1))
    rare[0] = 3 / totals[0]  # three counts, all in the first program
    beta = np.hstack([beta, rare])
    markers = marker_scores(beta, totals)
    assert np.log2(rare[0, 0] / 1e-300) > 500  # what the bare ratio makes of it
    assert (markers.scores[0] > markers.scores[0, 40]).sum() >= 5
    assert 40 not in top_markers(beta, markers, 5)[0]


def test_a_program_of_three_cells_takes_no_markers_from_others(programs):
    beta, usage = programs
    before = top_markers(beta, marker_scores(beta, usage.sum(axis=0)), 5)[0]
    beta = np.vstack([beta, beta[0]])
    usage = np.hstack([usage, np.zeros((300, 1))])
    usage[:3, 5] = 100
    after = top_markers(beta, marker_scores(beta, usage.sum(axis=0)), 5)[0]
    np.testing.assert_array_equal(after, before)


def test_one_program_is_ranked_by_its_loadings():
    beta = np.array([[0.1, 0.6, 0.0, 0.3]])
    markers = marker_scores(beta, np.array([1000.0]))
    assert not markers.log2_ratios.any()
    assert list(top_markers(beta, markers, 10)[0]) == [1, 3, 0]


def test_only_genes_that_a_program_has_more_of_are_listed():
    beta = np.array([[0.5, 0.4, 0.1, 0.0], [0.1, 0.4, 0.5, 0.0]])
    lists = top_markers(beta, marker_scores(beta, np.array([1e4, 1e4])), 10)
    assert [list(genes) for genes in lists] == [[0, 1], [2, 1]]


# A layer


def test_programs_are_named_by_their_markers_and_flagged(programs):
    beta, usage = programs
    symbols = np.array([f"G{j}" for j in range(40)], dtype=object)
    symbols[10:15] = ["RPL3", "RPS2", "RPLP0", "RPSA", "RPS27A"]
    usage[:, 3] = 0
    usage[:4, 3] = usage[:4].sum(axis=1)  # half of four cells
    evidence = layer_evidence(usage, beta, symbols)
    assert evidence.names == [
        "P1 G0 G1",
        "P2 G5 G6",
        "P3 RPL3 RPS2",
        "P4 G15 G16 (noise)",
        "P5 (dead)",
    ]
    beta[2, 15:] = beta[3, 15:] = 0  # nothing else marks the third
    evidence = layer_evidence(usage, beta, symbols)
    assert evidence.flags == [(), (), ("ribosomal",), ("noise", "ribosomal"), ("dead",)]
    assert list(evidence.grey) == [False, False, True, True, True]
    assert list(evidence.last) == [False, False, False, True, True]
    np.testing.assert_allclose(evidence.support, support(usage))


@pytest.mark.slow
def test_known_markers_of_blood_cells(shared_data):
    """The sorted types' own expression, each a program of the cells of its type."""
    cells = anndata.read_h5ad(shared_data / "pbmc_facs.h5ad")
    types = cells.obs["celltype"].astype(str)
    usage = pd.get_dummies(types).astype(float)
    counts = cells.X.toarray()
    sizes = counts.sum(axis=1, keepdims=True)
    expression = np.log1p(counts / sizes * np.median(sizes))
    beta = usage.to_numpy().T @ expression
    usage = usage.mul(expression.sum(axis=1), axis=0)
    beta /= beta.sum(axis=1, keepdims=True)
    symbols = cells.var["symbol"].to_numpy()
    evidence = layer_evidence(usage.to_numpy(), beta, symbols)
    best = top_markers(beta, evidence.markers, 10)
    listed = {name: set(symbols[genes]) for name, genes in zip(usage.columns, best, strict=True)}
    known = {
        "CD19+ B": {"CD79A", "MS4A1"},
        "CD56+ NK": {"GNLY", "NKG7"},
        "CD14+ Monocyte": {"S100A8", "S100A9", "LYZ"},
        "CD8+ Cytotoxic T": {"CD8A", "CD8B"},
        "CD8+/CD45RA+ Naive Cytotoxic": {"CD8A", "CD8B"},
        "CD34+": {"AVP", "SPINK2", "PRSS57"},
        "CD4+/CD45RA+/CD25- Naive T": {"CCR7", "LEF1"},
        "CD4+/CD25 T Reg": {"FOXP3", "IL2RA"},
    }
    missing = {name for name, genes in known.items() if not genes & listed[name]}
    assert not missing, {name: listed[name] for name in missing}
    assert not any(evidence.grey)
