"""Figures: what is drawn is what the model holds, in scales and words that a reader can trust."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from neuralNMF.errors import InputError
from neuralNMF.io.figures import save_figure
from neuralNMF.io.tables import write_table
from neuralNMF.labels import NO_LABEL as NONE
from neuralNMF.labels import label_column
from neuralNMF.plots.beta import gene_order, plot_top_genes
from neuralNMF.plots.cluster import cluster
from neuralNMF.plots.hierarchy import plot_hierarchy
from neuralNMF.plots.labels import OTHER, as_categories, label_colours, sample_cells
from neuralNMF.plots.loss import plot_loss
from neuralNMF.plots.programs import gene_class, top_genes_table
from neuralNMF.plots.theta import common_limit, plot_theta, plot_usage

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
    figure.canvas.draw()
    axes_words = [
        text
        for axes in figure.axes
        for text in (axes.get_title(), axes.get_xlabel(), axes.get_ylabel())
    ]
    return "\n".join(axes_words)


# Clustering


def test_clusters_stay_together_and_turn_by_weight(rng):
    rows = rng.permutation(np.repeat([0.0, 10.0, 50.0], 5))[:, None] + rng.random((15, 1)) * 0.1
    tree = cluster(rows, weights=-rows[:, 0])
    assert sorted(tree.order) == list(range(15))
    assert (np.diff(np.round(rows[tree.order, 0], -1)) <= 0).all()  # the heaviest weight last
    assert tree.across.shape == tree.heights.shape == (14, 4)
    assert tree.across.min() >= 0 and tree.across.max() <= 14


@pytest.mark.parametrize("count", [1, 2])
def test_few_rows_cluster(count):
    assert list(cluster(np.ones((count, 3))).order) == list(range(count))


def test_deep_trees_do_not_recurse():
    rows = 1.01 ** np.arange(3000)[:, None]
    assert sorted(cluster(rows).order) == list(range(3000))


# Labels and samples


def test_a_missing_label_column_is_answered_with_those_there_are():
    obs = pd.DataFrame({"dataset": ["a"], "lineage": ["T"]})
    assert list(label_column(obs, "lineage")) == ["T"]
    with pytest.raises(InputError, match="no column 'celltype'.*dataset, lineage"):
        label_column(obs, "celltype")


def test_labels_of_any_type_become_categories():
    assert list(as_categories(pd.Series([2, 10, 2])).categories) == ["2", "10"]
    assert list(as_categories(pd.Series(["b", None, "a"])).categories) == ["a", "b", NONE]
    ordered = pd.Series(pd.Categorical(["x", "y"], categories=["y", "x", "unused"]))
    assert list(as_categories(ordered).categories) == ["y", "x"]
    assert list(as_categories(pd.Series([True, False])).categories) == ["False", "True"]
    assert list(as_categories(pd.Series(["c10", "c2", "b"])).categories) == ["b", "c2", "c10"]


def test_more_labels_than_colours_are_put_together():
    labels = as_categories(pd.Series([f"c{i}" for i in range(60)] + ["c7"]))
    assert len(labels.categories) == 40
    assert labels.categories[-1] == OTHER and "c7" in labels.categories
    colours = label_colours(list(labels.categories))
    assert len(np.unique(colours, axis=0)) == 40


@pytest.mark.parametrize("count", [1, 10, 11, 40])
def test_every_label_has_a_colour_of_its_own(count):
    names = [f"c{i}" for i in range(count - 1)] + [NONE]
    assert len(np.unique(label_colours(names), axis=0)) == count


def test_sample_keeps_proportions_and_every_label(rng):
    labels = as_categories(pd.Series(["T"] * 9000 + ["B"] * 995 + ["rare"] * 5))
    kept = sample_cells(10_000, 500, rng=rng, labels=labels)
    assert len(kept) == len(set(kept)) == 500
    counts = pd.Series(labels[kept]).value_counts()
    assert counts["rare"] == 1
    assert abs(counts["T"] - 450) <= 1
    again = sample_cells(10_000, 500, rng=np.random.default_rng(7), labels=labels)
    np.testing.assert_array_equal(kept, again)


def test_sample_with_more_labels_than_cells_to_draw(rng):
    labels = as_categories(pd.Series([f"c{i % 30}" for i in range(900)]))
    assert len(sample_cells(900, 10, rng=rng, labels=labels)) == 10
    assert len(sample_cells(900, 10, rng=rng)) == 10
    assert len(sample_cells(900, 900, rng=rng)) == 900
    with pytest.raises(InputError, match="max_cells"):
        sample_cells(900, 0, rng=rng)


# Theta


def test_usage_shows_the_shares_in_cluster_order(two_layers):
    thetas, usages, dead, labels = two_layers
    figure = plot_theta(
        usages, 1, dead=dead[0], rng=np.random.default_rng(0), labels=labels, max_cells=1000
    )
    axes, image = heat_map(figure)
    names = [tick.get_text() for tick in axes.get_xticklabels()]
    assert sorted(names) == ["P1", "P2", "P3", "P4", "P5", "P6 (dead)"]
    assert names[-1] == "P6 (dead)"
    order = [int(name.split()[0][1:]) - 1 for name in names]
    shown = image.get_array()[:, :: image.get_array().shape[1] // 6]
    shares = 100 * thetas[0] / thetas[0].sum(axis=1, keepdims=True)
    # The same rows, in another order.
    expected = shares[:, order]
    np.testing.assert_allclose(
        shown[np.lexsort(shown.T)], expected[np.lexsort(expected.T)], atol=1e-9
    )
    text = words(figure)
    assert "Layer 1: programs used by 300 cells" in text
    assert "share of the cell's fitted expression (%)" in text
    assert "sample" not in text


def test_one_colour_scale_for_all_layers(two_layers):
    _, usages, dead, _ = two_layers
    figures = [
        plot_theta(usages, layer, dead=dead[layer - 1], rng=np.random.default_rng(0))
        for layer in (1, 2)
    ]
    assert len({heat_map(figure)[1].get_clim() for figure in figures}) == 1
    assert heat_map(figures[0])[1].get_clim()[0] == 0
    # That of a layer by itself is another.
    alone = plot_theta(usages[1:], 1, dead=dead[1], rng=np.random.default_rng(0))
    assert heat_map(alone)[1].get_clim() != heat_map(figures[0])[1].get_clim()


def test_a_sample_is_said_in_the_title(two_layers):
    _, usages, dead, labels = two_layers

    def draw(**more):
        rng = np.random.default_rng(0)
        figure = plot_theta(usages, 2, dead=dead[1], rng=rng, max_cells=100, **more)
        return words(figure), figure

    text, figure = draw(labels=labels)
    assert "sample of 100 of 300, stratified by celltype" in text
    assert heat_map(figure)[1].get_array().shape[0] == 100
    (legend,) = figure.legends
    entries = [entry.get_text() for entry in legend.get_texts()]
    assert [entry.split()[0] for entry in entries] == ["B", "NK", "T"]
    assert sum(int(entry.split("(")[1][:-1]) for entry in entries) == 100
    assert "drawn at random" in draw()[0]


@pytest.mark.parametrize("shape", [(1, 1), (2, 1), (1, 3), (30, 100)])
def test_extreme_shapes_draw(shape):
    plot_usage(np.full(shape, 100 / shape[1]), layer=1).canvas.draw()
    plot_hierarchy(np.full(shape, 1 / shape[1]), layer=2).canvas.draw()


def test_cells_without_counts_and_common_limit():
    shares = np.zeros((50, 3))
    assert common_limit([shares]) == 5
    assert common_limit([shares, shares + 33]) == 35
    plot_usage(shares, layer=1, dead=np.array([True] * 3)).canvas.draw()


def test_hierarchy_orders_fine_programs_below_their_coarse_one():
    theta = np.array([[0.1, 0.9], [1.0, 0.0], [0.0, 0.0], [0.7, 0.3], [0.2, 1.8]])
    off = np.array([False, False, True, False, False])
    usage = np.array([[1.0, 3.0, 0.0, 2.0, 0.0], [3.0, 0.0, 0.0, 0.0, 1.0]])
    figure = plot_hierarchy(theta, layer=2, fine_dead=off, fine_usage=usage)
    axes, image = heat_map(figure)
    assert [tick.get_text() for tick in axes.get_yticklabels()] == [
        "P2", "P4", "P1", "P5", "P3 (dead)",
    ]  # fmt: skip
    np.testing.assert_allclose(
        image.get_array(), [[100, 0], [70, 30], [10, 90], [10, 90], [0, 0]], atol=1e-9
    )
    assert image.get_clim() == (0, 100)
    bars = [patch.get_width() for patch in figure.axes[1].patches]
    np.testing.assert_allclose(bars, [30, 20, 40, 10, 0])
    assert "share of the fine program (%)" in words(figure)


# Beta


def test_top_genes_stand_in_clean_blocks(blocks):
    beta, symbols = blocks
    figure = plot_top_genes(beta, symbols, layer=2, top_n=10, max_thresh=300)
    axes, image = heat_map(figure)
    shown = np.asarray(image.get_array())
    assert shown.shape == (K * 10, K)
    np.testing.assert_array_equal(shown.argmax(axis=1), np.repeat(np.arange(K), 10))
    names = [tick.get_text() for tick in axes.get_yticklabels()]
    for row, name in enumerate(names):
        np.testing.assert_allclose(shown[row], 10_000 * beta[:, int(name[1:])])
    assert image.get_clim() == (0, 300)
    text = words(figure)
    assert "gene loading per 10,000 (clipped at 300)" in text
    assert "Layer 2: top 10 genes of each program" in text


def test_a_shared_gene_stands_once_where_it_is_highest():
    beta = np.array([[0.5, 0.3, 0.2, 0.0], [0.4, 0.0, 0.0, 0.6]])
    genes, owners = gene_order(beta, 2)
    assert list(genes) == [0, 1, 3]
    assert list(owners) == [0, 0, 1]


def test_gene_names_do_not_overlap_with_many_programs(rng):
    beta = rng.gamma(0.05, size=(20, 3000))
    beta /= beta.sum(axis=1, keepdims=True)
    symbols = np.array([f"ENSG000{i}" for i in range(3000)], dtype=object)
    figure = plot_top_genes(beta, symbols, layer=1, top_n=10)
    figure.canvas.draw()
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


def test_table_of_top_genes(tmp_path, blocks):
    beta, symbols = blocks
    beta[3] = 0
    ids = np.array([f"ENSG{i}" for i in range(len(symbols))], dtype=object)
    table = top_genes_table(beta, symbols, ids, top_n=5)
    assert list(table.columns) == [
        "program", "rank", "gene_id", "symbol", "loading_per_10k", "specificity_fraction",
        "gene_class", "program_flag",
    ]  # fmt: skip
    assert len(table) == 3 * 5 + 1
    second = table[table.program == "P2"]
    assert list(second["rank"]) == [1, 2, 3, 4, 5]
    best = beta[1].argmax()
    assert second.iloc[0].gene_id == f"ENSG{best}" and second.iloc[0].symbol == f"G{best}"
    assert second.iloc[0].loading_per_10k == pytest.approx(1e4 * beta[1, best])
    assert second.iloc[0].specificity_fraction == pytest.approx(beta[1, best] / beta[:, best].sum())
    assert table.iloc[-1].program_flag == "dead" and pd.isna(table.iloc[-1]["rank"])
    write_table(table, tmp_path / "programs_l1.tsv")
    back = pd.read_csv(tmp_path / "programs_l1.tsv", sep="\t")
    assert len(back) == len(table)
    np.testing.assert_allclose(back.loading_per_10k[:-1], table.loading_per_10k[:-1], rtol=1e-5)


@pytest.mark.parametrize(
    ("symbol", "expected"),
    [
        *((name, "ribosomal") for name in ("RPL13A", "RPS27", "RPLP0", "RPS4Y1", "RPSA", "Rpl3")),
        *((name, "ribosomal") for name in ("RPL36AL", "RPL22L1", "RPS4X")),
        *((name, "mitochondrial") for name in ("MT-CO1", "mt-Nd4")),
        ("MALAT1", "MALAT1"),
        *((name, "") for name in ("RPS6KA1", "MRPL1", "RP11-34P13.7", "MTOR", "CD3E", "")),
    ],
)
def test_gene_classes(symbol, expected):
    assert gene_class(symbol) == expected


def test_programs_of_cell_quality_are_flagged():
    symbols = np.array(["RPL3", "RPS2", "MT-CO1", "MALAT1", "CD3E", "CD19"], dtype=object)
    beta = np.array([[4, 3, 1, 0, 2, 0], [0, 1, 5, 1, 0, 3], [0, 0, 0, 1, 0, 9.0]]) / 10
    table = top_genes_table(beta, symbols, symbols, top_n=4)
    flags = table.groupby("program").program_flag.first()
    assert dict(flags) == {"P1": "mostly ribosomal", "P2": "mostly mitochondrial", "P3": ""}


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
    plot_loss(history().iloc[:1]).canvas.draw()
    with pytest.raises(InputError, match="no training history"):
        plot_loss(history().iloc[:0])


# Files


@pytest.mark.slow
def test_files_are_the_same_each_time(tmp_path, two_layers, blocks):
    thetas, usages, dead, labels = two_layers
    for folder in ("a", "b"):
        rng = np.random.default_rng(3)
        figures = {
            "theta": plot_theta(usages, 2, dead=dead[1], rng=rng, labels=labels, max_cells=200),
            "hierarchy": plot_hierarchy(thetas[1], layer=2, fine_usage=usages[0]),
            "beta": plot_top_genes(*blocks, layer=1),
            "loss": plot_loss(history()),
        }
        for name, figure in figures.items():
            for kind in ("png", "pdf"):
                save_figure(figure, tmp_path / folder / f"{name}.{kind}")
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
        "plot_usage(np.eye(4), layer=1).canvas.draw()\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
