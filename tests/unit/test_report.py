"""What the report says: numbers beside those that they come from, sentences, and safe text."""

import base64
import json
import re
import zlib
from dataclasses import replace
from pathlib import Path

import neuralNMF
import numpy as np
import pandas as pd
import pytest
import yaml
from neuralNMF.evidence.conditions import condition_table
from neuralNMF.evidence.markers import top_markers
from neuralNMF.report.cells import COARSE, FINE, principal_components, shown_cells
from neuralNMF.report.contents import contents_of
from neuralNMF.report.figures import evidence_of, percent, written
from neuralNMF.report.genes import marker_ranks
from neuralNMF.report.methods import CITATION, paragraph_of
from neuralNMF.report.page import page_of
from reports import KINDS, NASTY, NASTY_CONDITION, small_source, without_extras

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def source():
    return small_source()


@pytest.fixture(scope="module")
def contents(source):
    return contents_of(source)


@pytest.fixture(scope="module")
def page(contents):
    return page_of(contents)


def unpacked(text: str, dtype=np.uint8) -> np.ndarray:
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype)


def card_of(contents, name: str) -> dict:
    return next(card for card in contents["cards"] if card["id"] == name)


def test_it_is_json(contents):
    assert json.loads(json.dumps(contents, allow_nan=False))["sample"] == "样本 <b>"


def test_cards_are_the_table_s_rows(source, contents):
    assert len(contents["cards"]) == len(source.programs)
    assert [card["layer"] for card in contents["cards"]] == [2, 2, 1, 1, 1, 1]
    for row in source.programs.to_dict("records"):
        card = card_of(contents, f"{row['layer']}.{row['program']}")
        assert card["name"] == row["name"]
        assert [marker["gene"] for marker in card["markers"]] == row["markers"].split(", ")
        assert card["parent"] == (f"2.{row['parent']}" if row["parent"] else None)
        assert ": ".join(filter(None, [card["kind"], card["why"]])) == row["believe"]
        cells = written(row["effective_cells"], "whole")
        assert {"title": "Cells that carry it", "value": cells} in card["evidence"]


def test_family_and_roots(contents):
    assert sorted(contents["roots"]) == ["2.P1", "2.P2"]
    assert card_of(contents, "2.P1")["children"] == ["1.P1", "1.P2"]
    parts = card_of(contents, "1.P2")["parents"]
    assert [(part["id"], part["share"]) for part in parts] == [("2.P1", "90 %"), ("2.P2", "10 %")]


def test_means_of_groups(source, contents):
    shares = source.usages[0] / source.usages[0].sum(axis=1, keepdims=True)
    there = (source.obs["celltype"] == "B cells").to_numpy()
    groups = card_of(contents, "1.P2")["groups"]
    assert [group["column"] for group in groups] == ["celltype", "lineage", "treatment", "dataset"]
    best = groups[0]["bars"][0]
    assert best == {
        "name": "B cells",
        "percent": percent(shares[there, 1].mean()),
        "width": pytest.approx(100 * shares[there, 1].mean(), abs=0.05),
    }


def test_a_new_column_of_the_table_shows_by_itself(source):
    programs = source.programs.assign(donor_spread=0.25)
    row = programs.to_dict("records")[0]
    assert {"title": "Donor spread", "value": "0.25"} in evidence_of(row)


def test_shares_come_back(source, contents):
    shares = source.usages[0] / source.usages[0].sum(axis=1, keepdims=True)
    steps = unpacked(contents["cells"]["shares"]["1.P3"])
    np.testing.assert_allclose((steps / COARSE) ** 2, shares[:, 2], atol=0.005)
    main = unpacked(contents["cells"]["main"][0], np.uint16)
    np.testing.assert_array_equal(main, (shares - shares.mean(axis=0)).argmax(axis=1) + 1)


def test_expression_comes_back(source, contents):
    packed = contents["cells"]["genes"]["CD3D"]
    found = np.expm1(unpacked(packed["steps"]) / COARSE * np.log1p(packed["high"]))
    totals = source.obs["total_counts"].to_numpy()
    expected = source.counts.toarray()[:, 0] * np.median(totals) / totals
    np.testing.assert_allclose(found, expected, rtol=0.03, atol=0.05)


def test_groups_and_numbers_of_the_cells(source, contents):
    groups = {group["name"]: group for group in contents["cells"]["groups"]}
    codes = unpacked(groups["celltype"]["codes"])
    assert [groups["celltype"]["groups"][code - 1] for code in codes[:4]] == KINDS
    (numbers,) = contents["cells"]["numbers"]
    counts = source.obs["total_counts"].to_numpy()
    steps = unpacked(numbers["steps"]) / COARSE
    assert (numbers["name"], numbers["log"]) == ("total_counts", False)
    found = numbers["low"] + steps * (numbers["high"] - numbers["low"])
    np.testing.assert_allclose(found, counts, atol=np.ptp(counts) / COARSE)
    names = zlib.decompress(base64.b64decode(contents["cells"]["names"])).decode().split("\n")
    assert names == list(source.obs.index)


def test_places_are_principal_components_where_there_is_no_embedding(source, contents):
    (place,) = contents["cells"]["places"]
    assert "principal components" in place["name"]
    centred = source.shares[0] - source.shares[0].mean(axis=0)
    first = np.linalg.svd(centred, full_matrices=False)[0][:, 0]
    along = unpacked(place["x"], np.uint16) / FINE
    assert abs(np.corrcoef(along, first)[0, 1]) > 0.999


def test_umaps_take_their_place_and_cells_without_one_are_left_out(source):
    table = pd.DataFrame({"cell": source.obs.index[::-1][:200]})
    for layer in (1, 2):
        table[f"l{layer}_umap1"] = np.arange(200.0)
        table[f"l{layer}_umap2"] = -np.arange(200.0)
    cells = contents_of(replace(source, umap=table))["cells"]
    assert [place["name"] for place in cells["places"]] == [
        "UMAP of the usage of layer 1",
        "UMAP of the usage of layer 2",
    ]
    assert (cells["shown"], cells["total"]) == (200, 240)
    along = unpacked(cells["places"][0]["x"], np.uint16) / FINE
    np.testing.assert_allclose(along, np.arange(200)[::-1] / 199, atol=1e-4)
    codes = unpacked(cells["groups"][0]["codes"])
    names = [cells["groups"][0]["groups"][code - 1] for code in codes]
    assert names == list(source.obs["celltype"].iloc[40:])


def test_one_program_has_places_too():
    found = principal_components(np.ones((5, 1), dtype=np.float32))
    assert found.shape == (5, 2) and np.isfinite(found).all()


def test_many_cells_are_thinned(source, monkeypatch):
    everywhere = {"plane": np.zeros((240, 2))}
    np.testing.assert_array_equal(shown_cells(source, everywhere), np.arange(240))
    monkeypatch.setattr("neuralNMF.report.cells.MOST_CELLS", 60)
    few = shown_cells(source, everywhere)
    assert len(np.unique(few)) == 60
    # As many of each kind as there are in all.
    np.testing.assert_array_equal(np.bincount(source.mains[0][few]), [15, 15, 15, 15])
    np.testing.assert_array_equal(shown_cells(source, everywhere), few)
    monkeypatch.setattr("neuralNMF.report.cells.SHARES_ROOM", 6 * 30)
    monkeypatch.setattr("neuralNMF.report.cells.FEWEST", 10)
    assert len(shown_cells(source, everywhere)) == 30


def test_ranks_of_genes_are_the_markers_order(source, contents):
    markers = source.evidence[0].markers
    ranks = marker_ranks(source.betas[0], markers.scores, markers.log2_ratios)
    for program, genes in enumerate(top_markers(source.betas[0], markers, 60)):
        np.testing.assert_array_equal(ranks[program, genes], np.arange(1, len(genes) + 1))
    packed = contents["genes"]["layers"][0]
    first = unpacked(packed["programs"], np.uint16).reshape(-1, contents["genes"]["best"])
    rank = unpacked(packed["ranks"], np.uint16).reshape(first.shape)
    assert first[0, 0] == 1 and rank[0, 0] == ranks[0, 0]


def test_dropped_genes_and_filters(contents):
    dropped = contents["genes"]["dropped"]
    assert zlib.decompress(base64.b64decode(dropped["excluded"])) == b"MALAT1"
    assert contents["dropped"][0] == {"what": "cells with too few counts", "number": "7"}
    assert not any("without a count" in each["what"] for each in contents["dropped"])


def test_sentences(contents):
    data, found, support = contents["sentences"]
    assert data == "240 cells and 60 of 62 genes of 样本 <b> were used."
    assert "4 programs in layer 1 and 2 programs in layer 2" in found
    assert found.endswith("of these 6, 5 may be believed as they are and 1 should not be believed.")
    assert "(lineage)" in support and "0.88" in support and "98 %" in support


def test_recommendation(contents):
    begin, leave, *_, sizes = contents["recommendation"]
    assert begin.startswith("Begin with layer 2, the coarsest: all 2 programs may be believed")
    assert leave == "Leave out: P4 of layer 1 (not found again in other cells)."
    assert sizes == "The data chose these sizes. Layer 1: 4 programs (5 asked for)."


def test_support_without_labels_is_other_cells(source):
    found = contents_of(replace(without_extras(source), programs=source.programs))
    assert "5 of 6 programs were found again" in found["sentences"][2]
    assert "Asked for were 5 and 2 programs" in found["recommendation"][-1]


def test_conditions_are_those_of_the_table(source, contents):
    """In the cards, in a chart and in a sentence: the rows of conditions.tsv, called ones first."""
    called = source.conditions[source.conditions["called"]]
    assert list(called["program"]) == ["P1"] and set(called["condition"]) == {NASTY_CONDITION}
    (row,) = called.to_dict("records")
    (said,) = card_of(contents, "1.P1")["conditions"]
    assert said["called"] and said["what"] == f"{NASTY_CONDITION} uses it more"
    for number in (percent(row["median_share"]), percent(row["median_share_others"])):
        assert number in said["figures"]
    assert f"effect {row['effect']:.2f}, adjusted p {row['adjusted_p']:.1e}" in said["figures"]
    assert "; 120 and 120 cells)" in said["figures"]
    others = [card for card in contents["cards"] if card["id"] != "1.P1"]
    seen = [each for card in others for each in card["conditions"]]
    assert len(seen) == 5 and not any(each["called"] for each in seen)
    assert {each["what"].split(" in ")[0] for each in seen} == {
        "A little more", "No sure difference; more",
    }  # fmt: skip
    (sentence,) = contents["differences"]
    assert sentence.startswith(
        f"Used more in {NASTY_CONDITION}: 1 program of layer 1; the most P1 "
    )
    assert "Single cells were compared" in sentence
    drawn = next(chart for chart in contents["charts"] if chart["id"] == "conditions")
    bars = {trace["name"]: trace for trace in drawn["traces"]}
    place = bars[NASTY_CONDITION]["x"][1].index(card_of(contents, "1.P1")["name"])
    assert bars[NASTY_CONDITION]["y"][place] == pytest.approx(row["effect"], rel=1e-5)
    assert bars[NASTY_CONDITION]["marker"]["opacity"][place] == 1.0
    # A program has one bar, that of the condition that uses it more.
    heights = np.array([trace["y"] for trace in drawn["traces"]], dtype=float)
    np.testing.assert_array_equal(np.isfinite(heights).sum(axis=0), 1)


def test_three_conditions_stand_beside_each_other(source):
    three = np.resize(["rest", "stim", "late"], len(source.obs))
    names = [layer.names for layer in source.evidence]
    table = condition_table(source.usages, names, three, np.resize(["a", "b"], three.size))
    contents = contents_of(replace(source, conditions=table))
    drawn = next(chart for chart in contents["charts"] if chart["id"] == "conditions")
    assert drawn["layout"]["barmode"] == "group" and len(drawn["traces"]) == 3
    assert np.isfinite(np.array([trace["y"] for trace in drawn["traces"]], dtype=float)).all()
    (sentence,) = contents["differences"]
    assert sentence.startswith("No program is called")
    assert "too few donors for p-values" in sentence
    assert "Wilcoxon's signed-rank test" in contents["methods"]["paragraph"]


def test_batches_are_in_cards_facts_and_measures(contents):
    titles = {each["title"]: each["value"] for each in card_of(contents, "1.P1")["evidence"]}
    assert titles["Batches that use it"] == "2" and "donor1 0." in titles["Share of each batch"]
    facts = {fact["name"]: fact["value"] for fact in contents["facts"]}
    assert facts["Batch"] == "dataset (donor1 and donor2)"
    rows = [row for row in contents["agreement"]["rows"] if row[0].startswith("dataset: ")]
    assert [row[1:] for row in rows] == [["0.938", "0.938"]]


def test_methods(source, contents):
    text = contents["methods"]["paragraph"]
    for words in (
        "between conditions (treatment) by the Mann-Whitney test of the cells' shares",
        "Raw counts of 240 cells and 60 genes, the most variable ones by the variance of their",
        "cells with at least 10 counts and genes found in at least 3 cells",
        "scaled to the median library size, transformed by log(1 + x) and divided by each gene's",
        "2 layers of 5 and 2 programs",
        "(consensus), which left 4 and 2.",
        "PyTorch 2.13.0",
    ):  # fmt: skip
        assert words in text, words
    assert "A factor for each batch" not in text
    batched = {**source.info, "options": {**source.options, "batch": "dataset"}}
    assert "A factor for each batch (dataset)" in paragraph_of(replace(source, info=batched))
    poisson = {
        **source.info,
        "options": {**source.options, "loss": "nested_poisson", "beta": "pmf"},
    }
    assert "modelled as they are" in paragraph_of(replace(source, info=poisson))


def test_the_citation_is_that_of_the_project(contents):
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (
        citation["title"] in CITATION and citation["authors"][0]["name"].lower() in CITATION.lower()
    )
    assert neuralNMF.__version__ in contents["methods"]["citation"]


def test_charts(source, contents):
    names = [chart["id"] for chart in contents["charts"]]
    assert names == [
        "sizes-of-programs", "replication", "held-out", "tried-1", "tried-2", "nesting",
        "labels-celltype-2", "labels-celltype-1", "labels-lineage-2", "labels-lineage-1",
        "conditions", "loss",
    ]  # fmt: skip
    by_name = dict(zip(names, contents["charts"], strict=True))
    flows = by_name["nesting"]["traces"][0]["link"]
    shares = source.programs.loc[source.programs["layer"] == 1, "expression_share"]
    assert sum(flows["value"]) == pytest.approx(shares.sum())
    heat = by_name["labels-celltype-1"]["traces"][0]
    assert np.sum(heat["z"], axis=1) == pytest.approx(np.full(4, 100), abs=0.5)
    for chart in contents["charts"]:
        assert chart["table"]["rows"], chart["id"]
        assert {len(row) for row in chart["table"]["rows"]} == {len(chart["table"]["columns"])}


@pytest.mark.parametrize("depth", [1, 2])
def test_a_run_with_nothing_more(depth):
    contents = contents_of(without_extras(small_source(depth=depth, labelled=False)))
    assert contents["agreement"] is None
    assert "no labels and no further fits" in contents["sentences"][2]
    assert "<h1>" in page_of(contents)


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (0.004, "percent", "0.4 %"),
        (0.123, "percent", "12 %"),
        (1234.4, "whole", "1,234"),
        (True, "truth", "yes"),
        (0.0, "truth", "no"),
        (0.02, "gain", "+2.00 %"),
        (float("nan"), "", ""),
        (3.0, "", "3"),
        (0.00123, "", "0.00123"),
    ],
)
def test_numbers_as_people_read_them(value, kind, text):
    assert written(value, kind) == text


def test_nothing_from_elsewhere_and_no_markup_of_others(page):
    assert NASTY not in page
    assert NASTY_CONDITION not in page
    assert "&lt;/script&gt;&lt;script&gt;window.injected" in page
    assert "样本 &lt;b&gt;" in page
    # Each script ends where it is meant to: the data, plotly.js packed, ours.
    assert len(re.findall(r"</script", page, re.IGNORECASE)) == 3
    assert not re.search(r"(src|href)=\"?(https?:)?//", page)
    assert "default-src 'none'" in page
    assert len(page.encode()) < 2_600_000


def test_the_same_run_gives_the_same_page(page):
    assert page_of(contents_of(small_source())) == page
