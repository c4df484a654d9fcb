"""The charts of the page: what there are numbers for, each with its caption and its table."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from neuralNMF.report.conditions import charts_of_conditions
from neuralNMF.report.drawing import (
    axis,
    bars,
    chart,
    level,
    lines,
    numbers,
    of_layer,
    upright,
)
from neuralNMF.report.figures import percent, written
from neuralNMF.report.programs import Card, group_means, row_shares
from neuralNMF.report.source import Source, program_id

FLOW = 0.02  # of a fine program: thinner flows are left out
REPLICATED = 0.8  # the least correlation of a program that is found again
# Columns of sizes.tsv that are shown.
TRIED = ["size", "programs", "replicated", "held_out", "parents", "gap", "status", "chosen"]

Chart = dict[str, Any]


def charts_of(source: Source, cards: list[Card]) -> list[Chart]:
    """All charts of a run, each as `neuralNMF.report.drawing.chart` makes it."""
    return [
        *_sizes_of_programs(source, cards),
        *_replication(source),
        *_held_out(source),
        *_tried(source),
        *_nesting(source, cards),
        *_labels(source),
        *charts_of_conditions(source),
        *_training(source),
    ]


def _sizes_of_programs(source: Source, cards: list[Card]) -> Iterator[Chart]:
    traces = []
    for layer in range(source.depth, 0, -1):
        of_it = [card for card in cards if card["layer"] == layer]
        values: list[float | None] = [round(100 * card["share"], 3) for card in of_it]
        traces.append(bars(layer, [card["name"] for card in of_it], values))
    rows = [
        [str(card["layer"]), card["name"], percent(card["share"]), card["cells"]] for card in cards
    ]
    yield chart(
        "sizes-of-programs",
        "How large the programs are",
        "Each program's part of all that the cells express. A layer's bars add up to 100 %.",
        traces,
        (["Layer", "Program", "Of all expression", "Cells that carry it"], rows),
        yaxis=axis("% of all expression"),
    )


def _replication(source: Source) -> Iterator[Chart]:
    if not _has(source, "replication"):
        return
    yield chart(
        "replication",
        "Found again in other cells",
        "Correlation of each program's usage between fits of two random halves of the cells. "
        f"Programs at {REPLICATED} or above (the dashed line) count as found again.",
        _of_programs(source, "replication", 1.0),
        _table(source, {"replication": "Between halves", "stability": "Between two starts"}),
        yaxis=axis("correlation", range=[0, 1.02]),
        shapes=[level(REPLICATED)],
    )


def _held_out(source: Source) -> Iterator[Chart]:
    if not _has(source, "held_out_gain"):
        return
    yield chart(
        "held-out",
        "What each program adds to the prediction of held-out counts",
        "By how much the error on counts that no fit has seen rises when the program is left out. "
        "Programs of the cells' state bring least.",
        _of_programs(source, "held_out_gain", 100.0),
        _table(source, {"held_out_gain": "Error rises by"}),
        yaxis=axis("error rises by (%)"),
    )


def _tried(source: Source) -> Iterator[Chart]:
    if source.sizes is None:
        return
    # Tables of before have no gap.
    table = source.sizes.reindex(columns=["layer", *TRIED])
    for layer, tried in table.groupby("layer"):
        fine = tried[tried["status"] == "fine"].sort_values("size")
        sizes = fine["size"].tolist()
        again = numbers(100 * fine["replicated"])
        traces = [lines("found again (%)", sizes, again, marker={"color": "c0"})]
        by_error = layer == 1
        second = "held-out error" if by_error else "cost of the next merge"
        rest = fine if by_error else tried.sort_values("size")
        values = numbers(rest["held_out" if by_error else "gap"])
        places = rest["size"].tolist()
        traces.append(lines(second, places, values, yaxis="y2", marker={"color": "c1"}))
        columns = [name for name in TRIED if tried[name].notna().any()]
        rows = [[written(row[name]) for name in columns] for row in tried.to_dict("records")]
        chosen = tried.loc[tried["chosen"].astype(str).str.lower() == "true", "size"]
        yield chart(
            f"tried-{layer}",
            f"Sizes of layer {layer} that were tried",
            "Blue: the share of programs that is found again in other cells. Orange, of layer 1: "
            "the error on counts that no fit has seen, beside that of one program; look for where "
            "it stops falling. Orange, of further layers: what it costs to put two more programs "
            "together, beside what the last two did; a peak is where programs make groups. Dashed: "
            "what was chosen.",
            traces,
            ([name.replace("_", " ").capitalize() for name in columns], rows),
            # Plotly draws fractions of a program where sizes lie close to each other.
            xaxis=axis(
                "programs asked for", **({"dtick": 1} if np.ptp(tried["size"]) < 10 else {})
            ),
            yaxis=axis("found again (%)", range=[0, 105]),
            yaxis2=axis(second, overlaying="y", side="right", showgrid=False),
            shapes=[upright(float(size)) for size in chosen],
        )


def _nesting(source: Source, cards: list[Card]) -> Iterator[Chart]:
    if source.depth < 2:
        return
    place = {card["id"]: number for number, card in enumerate(cards)}
    flows, rows = [], []
    for layer in range(source.depth, 1, -1):
        parts = row_shares(source.thetas[layer - 1])
        for fine, coarse in zip(*np.nonzero(parts >= FLOW), strict=True):
            below = cards[place[program_id(layer - 1, fine)]]
            above = cards[place[program_id(layer, coarse)]]
            part = float(parts[fine, coarse])
            flows.append((place[above["id"]], place[below["id"]], part * below["share"]))
            rows.append([above["name"], below["name"], percent(part)])
    nodes = {
        "label": [card["name"] for card in cards],
        "color": [of_layer(card["layer"]) for card in cards],
        "pad": 10,
        "thickness": 12,
    }
    links: dict[str, Any] = {
        name: [flow[k] for flow in flows] for k, name in enumerate(("source", "target", "value"))
    }
    yield chart(
        "nesting",
        "How the layers are nested",
        "From coarse (left) to fine (right): each fine program flows into those that it is part "
        "of, as wide as what the cells express of it. Where flows hardly cross, it is a tree.",
        [{"type": "sankey", "node": nodes, "link": {**links, "color": "faint"}}],
        (["Coarse program", "Fine program", "Part of the fine one"], rows),
        height=max(360, 26 * max(source.ranks)),
    )


def _labels(source: Source) -> Iterator[Chart]:
    for name in dict.fromkeys(source.labels.values()):
        for layer in range(source.depth, 0, -1):
            groups, means = group_means(source, layer, name)
            order = source.tree.orders[layer - 1]
            programs = [source.evidence[layer - 1].names[each] for each in order]
            values = np.round(100 * means[:, order], 1).tolist()
            rows = [
                [group, *(f"{value:.0f}" for value in line)]
                for group, line in zip(groups, values, strict=True)
            ]
            trace = {
                "type": "heatmap",
                "x": programs,
                "y": groups,
                "z": values,
                "colorscale": "cells",
                "zmin": 0,
                "colorbar": {"title": {"text": "%"}},
            }
            yield chart(
                f"labels-{name}-{layer}",
                f"{name} by layer {layer}",
                "Mean share of each program (columns) in the cells of each label (rows).",
                [trace],
                ([name, *programs], rows),
                yaxis=axis("", autorange="reversed"),
                height=max(300, 170 + 24 * len(groups)),
            )


def _training(source: Source) -> Iterator[Chart]:
    history = source.history[source.history["phase"] == "joint"]
    if history.empty:
        return
    traces, rows = [], []
    for depth, part in history.groupby("depth"):
        loss = part["loss"]
        above = numbers(100 * (loss / loss.min() - 1))
        epochs, line = part["epoch"].tolist(), {"color": of_layer(int(depth))}
        traces.append(lines(f"training layer {depth}", epochs, above, mode="lines", line=line))
        ends = (f"{loss.iloc[0]:.6g}", f"{loss.iloc[-1]:.6g}")
        rows.append([str(depth), str(len(part)), *ends])
    yield chart(
        "loss",
        "The training",
        "The loss over the epochs of each layer's training, by how much it is above its least. "
        "It should fall and level out.",
        traces,
        (["Layer", "Epochs", "Loss at first", "Loss at last"], rows),
        xaxis=axis("epoch"),
        yaxis=axis("above the least loss (%)"),
    )


def _has(source: Source, column: str) -> bool:
    return column in source.programs and bool(source.programs[column].notna().any())


def _of_programs(source: Source, column: str, scale: float) -> list[dict[str, Any]]:
    """A column of programs.tsv as bars, the coarsest layer first."""
    traces = []
    for layer in range(source.depth, 0, -1):
        part = source.in_order[source.in_order["layer"] == layer]
        traces.append(bars(layer, part["name"].tolist(), numbers(scale * part[column])))
    return traces


def _table(source: Source, titles: dict[str, str]) -> tuple[list[str], list[list[str]]]:
    """Columns of programs.tsv as a table of text."""
    there = [column for column in titles if column in source.programs]
    kinds = {"held_out_gain": "gain"}
    rows = [
        [
            str(row["layer"]),
            row["name"],
            *(written(row[column], kinds.get(column, "number")) for column in there),
        ]
        for row in source.in_order.to_dict("records")
    ]
    return ["Layer", "Program", *(titles[column] for column in there)], rows
