"""Frames of pictures with few and many programs and labels: nothing lies on anything else."""

import logging

import numpy as np
import pytest
from neuralNMF.colours import palette
from neuralNMF.plots import style
from neuralNMF.plots.dots import dots_table, plot_dots
from neuralNMF.plots.frames import panels
from neuralNMF.plots.style import Programs, new_figure
from neuralNMF.plots.umap import plot_umap, plot_umap_programs


def named(count: int) -> Programs:
    names = [f"P{k + 1} GENE{k} GENE{k + 1}" for k in range(count)]
    return Programs(names, np.arange(count)[::-1], np.arange(count) == 0)


def boxes(figure, artists):
    figure.canvas.draw()
    return [artist.get_window_extent() for artist in artists]


@pytest.mark.parametrize(("count", "across", "rows"), [(1, 3, 1), (5, 3, 2)])
def test_a_panel_a_program_and_the_others_empty(count, across, rows):
    programs = named(count)
    grid = panels(new_figure(6, 4), programs, across, size=7)
    assert grid.shape == (rows, across)
    titles = [axes.get_title(loc="left") for axes in grid.ravel()]
    shown = [programs.names[k] for k in programs.order]
    assert titles == shown + [""] * (rows * across - count)
    # The flagged one stands last.
    colours = [axes._left_title.get_color() for axes in grid.ravel()[:count]]
    assert colours == ["black"] * (count - 1) + [style.GREY]
    assert not any(axes.get_xticks().size for axes in grid.ravel()[count:])


@pytest.mark.parametrize("count", [2, 12])
def test_the_title_of_few_programs_does_not_reach_into_the_legend(count):
    beta = np.eye(count, 4 * count) + 0.1
    beta /= beta.sum(axis=1, keepdims=True)
    genes = [np.array([k, count + k]) for k in range(count)]
    symbols = np.array([f"G{j}" for j in range(4 * count)], dtype=object)
    table = dots_table(beta, symbols, np.ones_like(beta), genes, named(count))
    figure = plot_dots(table, named(count), layer=1)
    title, legend = boxes(figure, [figure._suptitle, figure.legends[0]])
    assert title.x1 <= legend.x0


@pytest.mark.parametrize("count", [3, 40])
def test_a_legend_of_many_labels_stays_within_the_picture(count):
    rng = np.random.default_rng(0)
    codes = np.arange(200) % count
    column = ("kind", [f"kind {k}" for k in range(count)], palette(count), codes)
    places = rng.normal(size=(200, 2))
    figure = plot_umap(places, [column], layer=1, drawn="all", rng=rng)
    (axes,) = figure.axes
    panel, legend = boxes(figure, [axes, axes.get_legend()])
    assert legend.y0 >= 0 and legend.y1 <= figure.bbox.height
    # Constrained layout makes a panel flat where its legend is too tall.
    assert panel.height > 0.9 * panel.width


def test_names_at_one_place_do_not_lie_on_each_other():
    rng = np.random.default_rng(0)
    places = np.column_stack([np.repeat([0.0, 100.0], 50), rng.normal(size=100)])
    codes = np.arange(100) % 2
    codes[50:] = 2
    column = ("kind", ["one", "two", "three"], palette(3), codes)
    figure = plot_umap(places, [column], layer=1, drawn="all", rng=rng)
    assert len(figure.axes[0].texts) == 2


def test_the_bar_beside_few_panels_is_named_in_full():
    rng = np.random.default_rng(0)
    figure = plot_umap_programs(
        rng.normal(size=(50, 2)), 50 * rng.random((50, 2)), named(2), layer=1, drawn="all",
        limit=50,
    )  # fmt: skip
    (label,) = boxes(figure, [figure.axes[-1].yaxis.label])
    assert label.y0 >= 0 and label.y1 <= figure.bbox.height


def test_what_fonts_are_missing_is_said_once(caplog):
    style._say_what_to_install.cache_clear()
    with caplog.at_level(logging.WARNING):
        assert style.drawable("\ue123") == "\\ue123"  # of private use: no font has it
        style.drawable("\ue124")
    assert [record.message.count("fonts-noto-cjk") for record in caplog.records] == [1]
