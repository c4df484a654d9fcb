"""Figures: what is drawn is what the model holds, in scales and words that a reader can trust."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from neuralNMF.colours import label_colours
from neuralNMF.errors import InputError
from neuralNMF.evidence.layer import layer_evidence
from neuralNMF.evidence.markers import top_markers
from neuralNMF.io.figures import save_figure
from neuralNMF.io.tables import write_table
from neuralNMF.labels import NO_LABEL as NONE
from neuralNMF.labels import OTHER, as_labels, label_column
from neuralNMF.plots.beta import gene_order, plot_top_genes
from neuralNMF.plots.cells import draw_cells
from neuralNMF.plots.hierarchy import plot_hierarchy
from neuralNMF.plots.labels import coloured, entries, told_apart
from neuralNMF.plots.layers import judge_layers
from neuralNMF.plots.loss import plot_loss
from neuralNMF.plots.programs import programs_table, top_genes
from neuralNMF.plots.style import Programs, plain_programs, short
from neuralNMF.plots.theta import LINES, common_limit, order_cells, plot_theta, plot_usage
from neuralNMF.sampling import sample_cells

K, GENES_PER_BLOCK = 4, 25


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture
def blocks(rng):
    """Gene programs (K, M) with a block of genes each, rows summing to 1, and gene names."""
    beta = rng.gamma(2, 1, size=(K, K * GENES_PER_BLOCK))
    for k in range(K):
        beta[k, k * GENES_PER_BLOCK : (k + 1) * GENES_PER_BLOCK] += 40
    beta /= beta.sum(axis=1, keepdims=True)
    return beta, np.array([f"G{i}" for i in range(beta.shape[1])], dtype=object)


@pytest.fixture
def two_layers(rng):
    """Theta, usage and dead flags of a model of 300 cells; the last fine program is dead."""
    thetas = [rng.gamma(0.4, size=(300, 6)), rng.gamma(0.4, size=(6, 3))]
    thetas[0][:, 5] = 0
    dead = [np.array([False] * 5 + [True]), np.zeros(3, dtype=bool)]
    labels = pd.Series(rng.choice(["T", "B", "NK"], 300, p=[0.8, 0.17, 0.03]), name="celltype")
    return thetas, [thetas[0], thetas[0] @ thetas[1]], dead, labels


def heat_map(figure: Figure):
    """The axes with the heat map, which has the figure's largest picture, and that picture."""
    images = [(axes, image) for axes in figure.axes for image in axes.images]
    return max(images, key=lambda pair: pair[1].get_array().size)


def words(figure: Figure) -> str:
    figure.draw_without_rendering()
    axes_words = [
        text
        for axes in figure.axes
        for text in (axes.get_title(), axes.get_xlabel(), axes.get_ylabel())
    ]
    return "\n".join(axes_words)


# Labels and samples


def test_a_missing_label_column_is_answered_with_those_there_are():
    obs = pd.DataFrame({"dataset": ["a"], "lineage": ["T"]})
    assert list(label_column(obs, "lineage")) == ["T"]
    with pytest.raises(InputError, match="no column 'celltype'.*dataset, lineage"):
        label_column(obs, "celltype")


def test_labels_of_any_type_have_names_in_order():
    def names(values):
        return as_labels(pd.Series(values)).names

    assert names([2, 10, 2]) == ["2", "10"]
    assert names(["b", None, "a"]) == ["a", "b", NONE]
    assert names(pd.Categorical(["x", "y"], categories=["y", "x", "unused"])) == ["y", "x"]
    assert names([True, False]) == ["False", "True"]
    assert names(["c10", "c2", "b"]) == ["b", "c2", "c10"]
    labels = as_labels(pd.Series(["b", None, "a", "b"], name="type"))
    assert labels.name == "type" and list(labels.codes) == [1, 2, 0, 1]
    assert list(labels.of(np.array([3, 2])).codes) == [1, 0]


def test_more_labels_than_colours_are_put_together():
    labels = as_labels(pd.Series([f"c{i}" for i in range(60)] + ["c7"]))
    assert len(labels.names) == 40
    assert labels.names[-1] == OTHER and "c7" in labels.names
    assert len(np.unique(label_colours([labels.names])[0], axis=0)) == 40


@pytest.mark.parametrize("count", [1, 8, 11, 40])
def test_every_label_has_a_colour_of_its_own(count):
    names = [f"c{i}" for i in range(count - 1)] + [NONE]
    assert len(np.unique(label_colours([names])[0], axis=0)) == count


def test_sample_keeps_proportions_and_every_label(rng):
    labels = as_labels(pd.Series(["T"] * 9000 + ["B"] * 995 + ["rare"] * 5))
    kept = sample_cells(10_000, 500, rng=rng, groups=labels.codes)
    assert len(kept) == len(set(kept)) == 500
    counts = np.bincount(labels.codes[kept])
    assert counts[labels.names.index("rare")] == 1
    assert abs(counts[labels.names.index("T")] - 450) <= 1
    again = sample_cells(10_000, 500, rng=np.random.default_rng(7), groups=labels.codes)
    np.testing.assert_array_equal(kept, again)


def test_sample_with_more_labels_than_cells_to_draw(rng):
    labels = as_labels(pd.Series([f"c{i % 30}" for i in range(900)]))
    assert len(sample_cells(900, 10, rng=rng, groups=labels.codes)) == 10
    assert len(sample_cells(900, 10, rng=rng)) == 10
    assert len(sample_cells(900, 900, rng=rng)) == 900
    with pytest.raises(InputError, match="max_cells"):
        sample_cells(900, 0, rng=rng)


# Theta


def names_of(axes, axis="x"):
    return [tick.get_text() for tick in getattr(axes, f"get_{axis}ticklabels")()]


def theta(usages, layer, programs, columns=(), max_cells=5000):
    """The picture of one layer, as the rule draws it."""
    rng = np.random.default_rng(0)
    cells = draw_cells(usages, coloured(columns), max_cells=max_cells, rng=rng)
    return plot_theta(cells, layer, programs=programs)


def test_usage_shows_the_shares_in_the_order_of_the_tree(two_layers):
    thetas, usages, dead, labels = two_layers
    programs = Programs([f"P{i} A" for i in range(1, 7)], np.array([3, 0, 1, 4, 2, 5]), dead[0])
    figure = theta(usages, 1, programs, [as_labels(labels)])
    axes, image = heat_map(figure)
    assert names_of(axes) == ["P4 A", "P1 A", "P2 A", "P5 A", "P3 A", "P6 A"]
    assert [tick.get_color() for tick in axes.get_xticklabels()[4:]] == ["black", "0.55"]
    shares = (100 * thetas[0] / thetas[0].sum(axis=1, keepdims=True))[:, programs.order]
    shown = image.get_array()
    np.testing.assert_allclose(shown[np.lexsort(shown.T)], shares[np.lexsort(shares.T)], atol=1e-9)
    greys = [other for other in axes.images if other.get_cmap().name == "Greys"]
    (grey,) = greys
    assert grey.get_extent()[:2] == [4.5, 5.5]
    np.testing.assert_array_equal(grey.get_array(), shown[:, [5]])
    text = words(figure)
    assert figure.get_suptitle().startswith("Layer 1: programs used by cells\n300 cells")
    assert "share of the cell's fitted expression (%)" in text
    assert "sample" not in figure.get_suptitle()


def test_cells_stand_with_their_program_and_a_common_one_owns_none():
    shares = np.full((60, 4), 0.0)
    shares[:, 1] = 60  # in all cells alike
    shares[:20, 2], shares[20:45, 0], shares[45:, 3] = 40, 40, 40
    shares[:20, 2] -= np.arange(20)
    programs = Programs(list("abcd"), np.array([2, 3, 1, 0]), np.zeros(4, dtype=bool))
    assert list(order_cells(shares, programs)) == [*range(20), *range(45, 60), *range(20, 45)]
    flagged = Programs(list("abcd"), programs.order, np.array([False, False, True, False]))
    assert set(order_cells(shares, flagged)[:15]) == {*range(45, 60)}


def test_many_cells_are_drawn_as_means_of_neighbours(rng):
    shares = rng.gamma(0.3, size=(2 * LINES, 3)) + 0.01
    shares *= 100 / shares.sum(axis=1, keepdims=True)
    shown = heat_map(plot_usage(shares, layer=1))[1].get_array()
    assert shown.shape == (LINES, 3)
    rows = shares[order_cells(shares, plain_programs(np.zeros(3, dtype=bool)))]
    np.testing.assert_allclose(shown, (rows[::2] + rows[1::2]) / 2)


def test_coarser_layers_stand_above_their_programs():
    coarse = Programs(["P1 LONGGENE", "P2 Z"], np.array([0, 1]), np.zeros(2, dtype=bool))
    fine = Programs(list("abcd"), np.array([2, 0, 1, 3]), np.zeros(4, dtype=bool))
    parents = [(coarse, np.array([1, 1, 0, -1]))]
    figure = plot_usage(np.full((9, 4), 25.0), layer=2, programs=fine, parents=parents)
    (brackets,) = [axes for axes in figure.axes if axes.get_ylabel() == "layer 3"]
    assert [text.get_text() for text in brackets.texts] == ["P1", "P2 Z"]
    spans = [tuple(line.get_xdata()) for line in brackets.lines]
    np.testing.assert_allclose(spans, [(-0.4, 0.4), (0.6, 2.4)])


def test_one_colour_scale_for_all_layers(two_layers):
    _, usages, dead, _ = two_layers
    figures = [theta(usages, layer, plain_programs(dead[layer - 1])) for layer in (1, 2)]
    assert len({heat_map(figure)[1].get_clim() for figure in figures}) == 1
    assert heat_map(figures[0])[1].get_clim()[0] == 0
    # That of a layer by itself is another.
    alone = theta(usages[1:], 1, plain_programs(dead[1]))
    assert heat_map(alone)[1].get_clim() != heat_map(figures[0])[1].get_clim()


def test_a_sample_is_said_in_the_title(two_layers):
    _, usages, dead, labels = two_layers

    def draw(*columns):
        figure = theta(usages, 2, plain_programs(dead[1]), columns, max_cells=100)
        return figure.get_suptitle(), figure

    text, figure = draw(as_labels(labels))
    assert "sample of 100 of 300, stratified by celltype" in text
    assert heat_map(figure)[1].get_array().shape[0] == 100
    (legend,) = figure.legends
    title, *entries = [entry.get_text() for entry in legend.get_texts()]
    assert title == "celltype"
    assert [entry.split()[0] for entry in entries] == ["B", "NK", "T"]
    assert sum(int(entry.split("(")[1][:-1]) for entry in entries) == 100
    assert "drawn at random" in draw()[0]


def test_names_stand_as_they_are_written():
    labels = as_labels(pd.Series(["$x$ and $y", "β-cells", "T\u7ec6"] * 4, name="$a$"))
    programs = Programs(["P1 $G_1$ $G_2$", *"abcd"], np.arange(5), np.zeros(5, dtype=bool))
    figure = plot_usage(
        np.full((12, 5), 20.0), layer=1, programs=programs, columns=coloured([labels])
    )
    figure.draw_without_rendering()  # warnings are errors: a letter without a font would be one
    (legend,) = figure.legends
    title, first = legend.get_texts()[:2]
    assert title.get_text() == "$a$" and not title.get_parse_math()
    assert first.get_text() == "$x$ and $y (4)" and not first.get_parse_math()
    assert names_of(heat_map(figure)[0])[0] == "P1 $G_1$ $G_2$"
    assert not heat_map(figure)[0].get_xticklabels()[0].get_parse_math()
    assert short("T\u0378") == "T\\u0378"  # no letter, so in no font


def test_long_names_that_differ_still_do_once_they_are_cut():
    ends = [f"a rather long name of a cell type, number {i}" for i in range(20)]
    middles = [
        f"a rather long name of cell type {i} of the atlas (CD4+ CD45RA+)" for i in range(20)
    ]
    one_word = ["x" * 30 + letter + "y" * 30 for letter in "abc"]
    pairs = ["x" * 30 + a + "y" * 30 + b + "z" * 30 for a in "ab" for b in "ab"]
    for names in (ends, middles, one_word, pairs, middles + ["type 1", "B"]):
        shown = told_apart(names, 18)
        assert len(set(shown)) == len(names) and max(map(len, shown)) <= 18
    assert told_apart(middles, 24)[3] == "…3 of the atlas (CD4+ C…"
    assert told_apart(["B", "B", "T cells"], 18) == ["B", "B", "T cells"]
    assert len(set(entries(middles))) == 20


def inside(figure, boxes):
    return all(
        box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1
        for box in boxes
    )


@pytest.mark.parametrize(("count", "kinds"), [(2, 3), (60, 40)])
def test_everything_is_inside_the_figure_and_apart(rng, count, kinds):
    cells = 200
    words = "CD4-positive, alpha-beta memory T cell of the draining lymph node, cluster"
    labels = as_labels(pd.Series([f"{words} {i % kinds}" for i in range(cells)], name="type"))
    names = [f"P{i + 1} GENE{i} LONGGENE{i}" for i in range(count)]
    programs = Programs(names, np.arange(count), np.zeros(count, dtype=bool))
    shares = rng.gamma(0.2, size=(cells, count)) + 1e-3
    shares *= 100 / shares.sum(axis=1, keepdims=True)
    figure = plot_usage(shares, layer=1, programs=programs, columns=coloured([labels]))
    figure.draw_without_rendering()
    axes, _ = heat_map(figure)
    (legend,) = figure.legends
    shown = legend.get_texts()[1:]
    entries = [text.get_window_extent() for text in shown]
    ticks = [tick.get_window_extent() for tick in axes.get_xticklabels()]
    title = figure._suptitle.get_window_extent()
    assert len(entries) == kinds and len({text.get_text() for text in shown}) == kinds
    assert inside(figure, [*entries, *ticks, title, axes.get_window_extent()])
    assert not any(title.overlaps(box) for box in [legend.get_window_extent(), *ticks])
    assert all(a.x1 <= b.x0 + 1 for a, b in zip(ticks, ticks[1:], strict=False))
    assert all(a.y0 >= b.y1 - 1 for a, b in zip(entries, entries[1:], strict=False))


@pytest.mark.parametrize("shape", [(1, 1), (2, 1), (1, 3), (30, 100)])
def test_extreme_shapes_draw(shape):
    plot_usage(np.full(shape, 100 / shape[1]), layer=1).draw_without_rendering()
    plot_hierarchy(np.full(shape, 1 / shape[1]), layer=2).draw_without_rendering()


def test_cells_without_counts_and_common_limit():
    shares = np.zeros((50, 3))
    assert common_limit([shares]) == 5
    assert common_limit([shares, shares + 33]) == 35
    plot_usage(
        shares, layer=1, programs=plain_programs(np.ones(3, dtype=bool))
    ).draw_without_rendering()


def test_hierarchy_is_drawn_in_the_order_of_the_tree():
    theta = np.array([[0.1, 0.9], [1.0, 0.0], [0.0, 0.0], [0.7, 0.3], [0.2, 1.8]])
    off = np.array([False, False, True, False, False])
    fine = Programs([f"P{i} G" for i in range(1, 6)], np.array([4, 0, 3, 1, 2]), off)
    coarse = Programs(["P1 A", "P2 B"], np.array([1, 0]), np.zeros(2, dtype=bool))
    usage = np.array([[1.0, 3.0, 0.0, 2.0, 0.0], [3.0, 0.0, 0.0, 0.0, 1.0]])
    figure = plot_hierarchy(theta, layer=2, fine=fine, coarse=coarse, fine_usage=usage)
    axes, image = heat_map(figure)
    assert names_of(axes, "y") == ["P5 G", "P1 G", "P4 G", "P2 G", "P3 G"]
    assert names_of(axes) == ["P2 B", "P1 A"]
    assert axes.get_yticklabels()[4].get_color() == "0.55"
    np.testing.assert_allclose(
        image.get_array(), [[90, 10], [90, 10], [30, 70], [0, 100], [0, 0]], atol=1e-9
    )
    assert image.get_clim() == (0, 100)
    bars = [patch.get_width() for patch in figure.axes[1].patches]
    np.testing.assert_allclose(bars, [10, 40, 20, 30, 0])
    assert "share of the fine program (%)" in words(figure)


def test_layers_are_judged_and_ordered_together(two_layers, rng):
    thetas, usages, dead, _ = two_layers
    betas = [rng.gamma(0.1, size=(k, 50)) for k in (6, 3)]
    betas[0][5] = 0
    symbols = np.array([f"G{i}" for i in range(50)], dtype=object)
    layers = judge_layers(thetas, usages, betas, symbols, dead=dead)
    fine, coarse = layers.programs
    assert sorted(fine.order) == list(range(6)) and fine.order[-1] == 5
    ((above, parent),) = layers.above(1)
    assert above is coarse and layers.above(2) == []
    assert parent[5] == -1
    np.testing.assert_array_equal(parent[:5], thetas[1][:5].argmax(axis=1))
    drawn = [list(coarse.order).index(parent[k]) for k in fine.order[:-1]]
    assert drawn == sorted(drawn)
    assert all(name.startswith(f"P{k + 1} ") for k, name in enumerate(fine.names))
    assert fine.names[5] == "P6 (dead)"


# Beta


def test_top_genes_stand_in_clean_blocks(blocks):
    beta, symbols = blocks
    figure = plot_top_genes(beta, symbols, layer=2, top_n=10, max_thresh=300)
    axes, image = heat_map(figure)
    shown = np.asarray(image.get_array())
    assert shown.shape == (K * 10, K)
    np.testing.assert_array_equal(shown.argmax(axis=1), np.repeat(np.arange(K), 10))
    for row, name in enumerate(names_of(axes, "y")):
        np.testing.assert_allclose(shown[row], 10_000 * beta[:, int(name[1:])])
    assert image.get_clim() == (0, 300)
    assert "gene loading per 10,000 (clipped at 300)" in words(figure)
    assert figure.get_suptitle() == "Layer 2: 10 top genes of each program"


def test_markers_stand_in_the_order_of_the_tree(blocks):
    beta, symbols = blocks
    programs = Programs([f"P{k} G" for k in range(1, 5)], np.array([2, 0, 3, 1]), np.arange(4) == 3)
    genes = [np.array([k, 50 + k, 7]) for k in range(4)]
    figure = plot_top_genes(beta, symbols, layer=1, top_n=2, programs=programs, genes=genes)
    axes, image = heat_map(figure)
    assert names_of(axes) == ["P3 G", "P1 G", "P4 G", "P2 G"]
    assert names_of(axes, "y") == ["G2", "G52", "G0", "G50", "G3", "G53", "G1", "G51"]
    np.testing.assert_allclose(image.get_array()[0], 10_000 * beta[programs.order, 2])
    assert figure.get_suptitle() == "Layer 1: 2 marker genes of each program"


def test_a_shared_gene_stands_once_where_it_is_highest():
    beta = np.array([[0.5, 0.3, 0.2, 0.0], [0.4, 0.0, 0.0, 0.6]])
    genes, owners = gene_order(beta, top_genes(beta, 2), np.array([0, 1]))
    assert list(genes) == [0, 1, 3]
    assert list(owners) == [0, 0, 1]
    genes, owners = gene_order(beta, top_genes(beta, 2), np.array([1, 0]))
    assert list(genes) == [3, 0, 1]
    assert list(owners) == [1, 0, 0]


def test_gene_names_do_not_overlap_with_many_programs(rng):
    beta = rng.gamma(0.05, size=(20, 3000))
    beta /= beta.sum(axis=1, keepdims=True)
    symbols = np.array([f"ENSG000{i}" for i in range(3000)], dtype=object)
    figure = plot_top_genes(beta, symbols, layer=1, top_n=10)
    figure.draw_without_rendering()
    axes, _ = heat_map(figure)
    boxes = [tick.get_window_extent() for tick in axes.get_yticklabels()]
    assert len(boxes) > 150
    heights = np.array([box.y0 for box in boxes])
    room = np.abs(np.diff(heights)).min()
    assert axes.get_yticklabels()[0].get_fontsize() * figure.dpi / 72 <= room
    assert axes.get_yticklabels()[0].get_fontsize() >= 6


def test_dead_programs_are_marked(blocks):
    beta, symbols = blocks
    beta[3] = 0
    figure = plot_top_genes(beta, symbols, layer=1, top_n=3)
    axes, image = heat_map(figure)
    assert axes.get_xticklabels()[3].get_text() == "P4 (dead)"
    assert image.get_array().shape == (9, 4)
    with pytest.raises(InputError, match="All programs of layer 1 are dead"):
        plot_top_genes(np.zeros((2, 5)), symbols[:5], layer=1)
    for wrong in ({"top_n": 0}, {"max_thresh": 0}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            plot_top_genes(beta, symbols, layer=1, **wrong)


def test_table_of_programs(tmp_path, blocks, rng):
    beta, symbols = blocks
    beta[3] = 0
    usage = rng.gamma(0.3, 100, size=(200, K))
    usage[:, 2:] = 0
    usage[:3, 2] = 500
    symbols[[25, 26, 27]] = ["RPL3", "MT-CO1", "HBB"]
    ids = np.array([f"ENSG{i}" for i in range(len(symbols))], dtype=object)
    evidence = layer_evidence(usage, beta, symbols)
    parents = np.array([1, 0, 0, -1])
    table = programs_table(beta, symbols, ids, evidence, parents=parents, top_n=5)
    assert list(table.columns) == [
        "program", "rank", "gene_id", "symbol", "marker_score", "log2_ratio", "loading_per_10k",
        "loading_rank", "specificity_fraction", "gene_class", "program_name", "program_parent",
        "program_support_cells", "program_flag",
    ]  # fmt: skip
    assert len(table) == 3 * 5 + 1
    second = table[table.program == "P2"]
    assert list(second["rank"]) == [1, 2, 3, 4, 5]
    assert (np.diff(second.marker_score) <= 0).all()
    best = top_markers(beta, evidence.markers, 5)[1]
    assert list(second.gene_id) == [f"ENSG{gene}" for gene in best]
    first, gene = second.iloc[0], best[0]
    assert first.symbol == symbols[gene]
    assert first.loading_per_10k == pytest.approx(1e4 * beta[1, gene])
    assert first.loading_rank == (beta[1] > beta[1, gene]).sum() + 1
    assert first.specificity_fraction == pytest.approx(beta[1, gene] / beta[:, gene].sum())
    assert first.program_name == evidence.names[1]
    for name, kind in (("RPL3", "ribosomal"), ("MT-CO1", "mitochondrial"), ("HBB", "haemoglobin")):
        assert set(table[table.symbol == name].gene_class) <= {kind}
    assert list(table.groupby("program").program_parent.first()) == ["P2", "P1", "P1", ""]
    assert list(table.groupby("program").program_flag.first()) == ["", "", "noise", "dead"]
    supports = table.groupby("program").program_support_cells.first()
    np.testing.assert_allclose(supports, evidence.support)
    assert pd.isna(table.iloc[-1]["rank"]) and pd.isna(table.iloc[-1].symbol)
    write_table(table, tmp_path / "programs_l1.tsv")
    back = pd.read_csv(tmp_path / "programs_l1.tsv", sep="\t")
    assert len(back) == len(table)
    np.testing.assert_allclose(back.loading_per_10k[:-1], table.loading_per_10k[:-1], rtol=1e-5)
    with pytest.raises(InputError, match="top_n"):
        programs_table(beta, symbols, ids, evidence, top_n=0)


# Loss


def history(scale: float = 1.0) -> pd.DataFrame:
    mse = np.array([90.0, 60, 42, 45, 41.5, 41.0])
    return pd.DataFrame(
        {
            "depth": [1, 1, 1, 2, 2, 2],
            "phase": ["start", "start", "joint", "start", "joint", "joint"],
            "epoch": [1, 2, 1, 1, 1, 2],
            "loss": scale * mse,
            "mse": mse,
        }
    )


def test_loss_curve_marks_layers():
    figure = plot_loss(history())
    top, bottom = figure.axes
    shown = {x: y for line in top.lines[:4] for x, y in zip(*line.get_data(), strict=True)}
    assert shown == dict(zip(range(1, 7), [90.0, 60, 42, 45, 41.5, 41.0], strict=True))
    assert [text.get_text() for text in top.texts] == ["depth 1", "depth 2"]
    borders = [line.get_xdata()[0] for line in top.lines[4:]]
    assert borders == [3.5]
    assert bottom.get_yscale() == "log"
    assert top.get_ylabel() == "mean squared error\nper matrix entry"
    assert bottom.get_xlabel() == "epochs, counted over all layers"


def test_no_line_joins_two_layers():
    lines = plot_loss(history().assign(phase="joint")).axes[0].lines
    assert [list(line.get_xdata()) for line in lines[:2]] == [[1, 2, 3], [4, 5, 6]]


def test_the_error_has_a_panel_of_its_own_unless_it_is_the_loss():
    assert len(plot_loss(history(scale=1000.0)).axes) == 2
    other = history()
    other["loss"] = other["loss"] ** 2
    figure = plot_loss(other, loss_name="energy loss")
    assert [axes.get_ylabel() for axes in figure.axes[:2]] == [
        "energy loss",
        "mean squared error\nper matrix entry",
    ]
    without = history().assign(mse=np.nan)
    assert len(plot_loss(without, loss_name="poisson loss").axes) == 2


def test_wide_ranges_are_logarithmic_and_one_epoch_draws():
    wide = history()
    wide.loc[0, ["loss", "mse"]] = 5000.0
    assert plot_loss(wide).axes[0].get_yscale() == "log"
    assert plot_loss(history()).axes[0].get_yscale() == "linear"
    plot_loss(history().iloc[:1]).draw_without_rendering()
    with pytest.raises(InputError, match="no training history"):
        plot_loss(history().iloc[:0])


# Files


@pytest.mark.slow
def test_files_are_the_same_each_time(tmp_path, two_layers, blocks):
    thetas, usages, dead, labels = two_layers
    for folder in ("a", "b"):
        programs = plain_programs(dead[1])
        figures = {
            "theta": theta(usages, 2, programs, [as_labels(labels)], max_cells=200),
            "hierarchy": plot_hierarchy(thetas[1], layer=2, fine_usage=usages[0]),
            "beta": plot_top_genes(*blocks, layer=1),
            "loss": plot_loss(history()),
        }
        for name, figure in figures.items():
            files = [tmp_path / folder / f"{name}.{kind}" for kind in ("png", "pdf")]
            # The second file is the same whether it is written alone or after the first.
            save_figure(figure, *files)
            if folder == "b":
                files[1].unlink()
                save_figure(figure, files[1])
    files = sorted((tmp_path / "a").iterdir())
    assert len(files) == 8
    for file in files:
        content = file.read_bytes()
        assert content == (tmp_path / "b" / file.name).read_bytes(), file.name
        assert content.startswith(b"%PDF" if file.suffix == ".pdf" else b"\x89PNG")
        assert b"CreationDate" not in content and b"matplotlib" not in content.lower()


def test_pyplot_is_left_alone():
    code = (
        "import sys, numpy as np\n"
        "from neuralNMF.plots.theta import plot_usage\n"
        "from neuralNMF.plots import beta, loss\n"
        "plot_usage(np.eye(4), layer=1).draw_without_rendering()\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
