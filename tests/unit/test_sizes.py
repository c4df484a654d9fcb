"""Sizes of layers: held-out error, trials, the choice among them, its file and its picture."""

from collections.abc import Iterable, Iterator
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from helpers import dataset_of
from neuralNMF.consensus.held_out import HeldOut, overdispersion
from neuralNMF.errors import InputError
from neuralNMF.fit import fit_layer
from neuralNMF.io.choice import load_layers, save_layers
from neuralNMF.io.dataset import Dataset
from neuralNMF.io.tables import read_table, write_table
from neuralNMF.options import REAL_CELLS, LayerOptions
from neuralNMF.plots.sizes import plot_sizes
from neuralNMF.sizes.choose import (
    _is_last,
    _levels,
    _near,
    _of_lists,
    choose_first,
    choose_further,
    choose_layers,
)
from neuralNMF.sizes.trial import COLUMNS, ERRORS, FINE, NOT_TRIED, Trials
from neuralNMF.team import ALONE

FINE_PROGRAMS, COARSE_PROGRAMS = 6, 3


def planted(cells: int = 600, genes: int = 60, seed: int = 0) -> Dataset:
    """Six programs in three pairs; a cell uses one pair, and a little of all programs."""
    rng = np.random.default_rng(seed)
    programs = np.full((FINE_PROGRAMS, genes), 0.02)
    for k in range(FINE_PROGRAMS):
        programs[k, 5 * k : 5 * k + 5] += rng.gamma(2.0, 1.0, 5)
        programs[k, 30 + 10 * (k // 2) : 40 + 10 * (k // 2)] += 0.5
    programs /= programs.sum(axis=1, keepdims=True)
    shares = rng.dirichlet([0.3, 0.3], cells)
    usage = np.full((cells, FINE_PROGRAMS), 0.01)
    pair = rng.integers(COARSE_PROGRAMS, size=cells)
    for place in range(2):
        usage[np.arange(cells), 2 * pair + place] += shares[:, place]
    return dataset_of(rng.poisson(400 * usage @ programs))


def options(rank: int = 1, **chosen: object) -> LayerOptions:
    return LayerOptions(rank, **{"epochs": 30, "threads": 1, **chosen})


@pytest.fixture(scope="module")
def data() -> Dataset:
    return planted()


# Held-out error


def test_held_out_error_falls_to_the_planted_size_and_not_on(data):
    held_out = HeldOut(data, options())

    def error(size: int) -> np.ndarray:
        model = fit_layer(data, None, options(size), progress=False)
        return held_out.errors(model.betas[0] / model.var["gene_scale"].to_numpy())

    errors = {size: error(size) for size in (2, 4, FINE_PROGRAMS, 9)}
    means = [each.mean() for each in errors.values()]
    assert means[0] > means[1] > means[2]
    assert (errors[4] > errors[FINE_PROGRAMS]).all()
    # Further programs follow the noise of their half alone.
    assert (errors[9] > errors[FINE_PROGRAMS] - 1e-4).all()


@pytest.mark.parametrize(
    "kind", [{}, REAL_CELLS, {"beta": "learned", "loss": "nested_poisson"}], ids=str
)
def test_held_out_error_is_beside_that_of_a_single_program(kind):
    counts = planted(120).rows(0, 120).toarray()
    counts[:10] = 0
    counts[:10, 0] = 1  # in one half only
    held_out = HeldOut(dataset_of(counts), options(epochs=3, **kind))
    one = held_out.errors(np.ones((1, 60)))
    np.testing.assert_allclose(one, 1)
    assert one.shape == (len(ERRORS),)
    # A program a group of cells that use one pair.
    groups = np.array([counts[:, 10 * k : 10 * k + 10].sum(axis=1) for k in range(3)])
    programs = np.stack([counts[groups.argmax(axis=0) == k].mean(axis=0) for k in range(3)])
    assert (held_out.errors(programs) < 0.9).all()


@pytest.mark.parametrize("truth", [0.0, 0.2, 1.0])
def test_overdispersion_around_a_known_model(truth):
    rng = np.random.default_rng(0)
    programs = rng.dirichlet(np.full(40, 0.5), 3)
    means = 400 * rng.dirichlet([0.5] * 3, 4000) @ programs
    rates = means if truth == 0 else means * rng.gamma(1 / truth, truth, means.shape)
    dataset = dataset_of(rng.poisson(rates))
    # The true programs, so that nothing but the estimate is tested.
    model = fit_layer(dataset, None, options(3, epochs=0), programs=programs, progress=False)
    found = overdispersion(dataset, model)
    assert found.shape == (40,)
    assert (found >= 0).all()
    expressed = means.mean(axis=0) > 1
    assert expressed.sum() > 20
    if truth == 0:
        assert found[expressed].max() < 0.02
    else:
        # The usage of a program follows the noise of its strongest genes, which lack it.
        np.testing.assert_allclose(np.median(found[expressed]), truth, rtol=0.25)
        assert np.quantile(found[expressed], 0.1) > 0.6 * truth


# Trials


def test_a_trial_a_job_gives_the_rows_of_all_in_one(data):
    chosen = options(epochs=10)
    together = Trials(data, chosen, progress=False).first_layers([3, FINE_PROGRAMS])
    alone = [
        Trials(data, chosen, progress=False).first_layers([size]) for size in (3, FINE_PROGRAMS)
    ]
    assert list(together) == COLUMNS
    assert together["status"].tolist() == [FINE, FINE]
    pd.testing.assert_frame_equal(
        together.drop(columns="seconds"),
        pd.concat(alone, ignore_index=True).drop(columns="seconds"),
    )
    np.testing.assert_allclose(together["held_out"], together[ERRORS].mean(axis=1))
    assert together["parents"].isna().all()
    assert together.loc[1, ["programs", "replicated"]].tolist() == [FINE_PROGRAMS, 1]


def test_a_fit_that_fails_is_a_row_and_the_others_go_on(data, caplog):
    trials = Trials(data, options(epochs=5), progress=False)
    tried = trials.first_layers([100, 4])
    assert tried["size"].tolist() == [100, 4]
    assert tried["status"][0].startswith("failed: ")
    assert tried["status"][1] == FINE
    assert tried.loc[0, ["programs", "replicated", "held_out", *ERRORS]].isna().all()
    assert "size 100: failed: " in caplog.text
    assert choose_first(tried)[0] == 4


def test_too_few_cells_are_tried_without_halves():
    dataset = planted(50)
    trials = Trials(dataset, options(epochs=5), progress=False)
    tried = trials.first_layers([3, 4])
    assert tried["status"].tolist() == [FINE, FINE]
    assert tried["replicated"].isna().all()
    choice = choose_layers(trials, tried, refine=False)
    assert choice.layers == [3]
    assert "too few cells" in choice.reason
    assert "No layer 2" in choice.reason


def test_the_planted_size_and_depth_among_lists(data):
    trials = Trials(data, options(), progress=False)
    tried = trials.first_layers([4, FINE_PROGRAMS])
    lists = [[4], [FINE_PROGRAMS, COARSE_PROGRAMS, 1]]
    choice = choose_layers(trials, tried, lists=lists)
    assert choice.layers == [FINE_PROGRAMS, COARSE_PROGRAMS]
    assert choice.reason.startswith("Layer 1: 6 programs (6 asked for), all found again")
    assert "Layer 2: 3 programs group the 6 before" in choice.reason
    assert "No layer 3: no size groups the 3 programs" in choice.reason
    rows = choice.tried
    chosen = rows.loc[rows["chosen"], ["layer", "before", "size"]].to_numpy().tolist()
    assert chosen == [[1, "", 6], [2, "6", 3]]
    assert rows["layer"].tolist() == [1, 1, 2, 3]
    assert rows["before"].tolist() == ["", "", "6", "6-3"]
    assert rows["gap"].notna().tolist() == [False, False, True, False]
    second = rows[rows["layer"] == 2].iloc[0]
    assert second["held_out"] is None or np.isnan(second["held_out"])
    assert 1 <= second["parents"] < 1.1


# The choice


def table(*rows: tuple[float, ...], bars: tuple[float, ...] = (-0.01, 0.0, 0.01)) -> pd.DataFrame:
    """First layers by (size, programs, replicated, held-out error); each split is off by a bar."""
    frame = pd.DataFrame(rows, columns=["size", "programs", "replicated", "held_out"])
    errors = {name: frame["held_out"] + bar for name, bar in zip(ERRORS, bars, strict=True)}
    return frame.assign(**errors, layer=1, before="", status=FINE).reindex(columns=COLUMNS)


def failed(*sizes: int) -> pd.DataFrame:
    frame = pd.DataFrame({"size": sizes, "layer": 1, "before": "", "status": "failed: too wide."})
    return frame.reindex(columns=COLUMNS)


SOUND = [(2, 2, 1.0, 0.8), (5, 5, 1.0, 0.5), (10, 10, 0.9, 0.2)]


def test_the_largest_size_whose_programs_are_found_again():
    size, reason = choose_first(table(*SOUND, (20, 18, 0.5, 0.1)))
    assert size == 10
    assert reason == (
        "Layer 1: 10 programs (10 asked for), 90% found again in other cells; of 18 programs only "
        "50% are."
    )


# Nine programs beyond the first have brought 0.8, so ten more have to bring 0.8 / 9 / 50 x 10.
@pytest.mark.parametrize(
    ("error", "size", "words"),
    [
        (0.1820, 20, "all found again in other cells."),
        (0.1825, 10, "lower the held-out error by too little, from 0.2000 to 0.1825 of that of"),
        (0.25, 10, "raise the held-out error, from 0.2000 to 0.2500 of that of one program."),
    ],
)
def test_further_programs_have_to_explain_something(error: float, size: int, words: str):
    found, reason = choose_first(table(*SOUND, (20, 20, 1.0, error)))
    assert found == size
    assert words in reason


def test_the_sentence_names_the_first_size_that_is_too_large():
    reason = choose_first(table(*SOUND, (14, 14, 1.0, 0.3), (20, 20, 1.0, 0.4)))[1]
    assert "; 14 programs raise" in reason
    assert choose_first(table(*SOUND, (14, 14, 1.0, 0.3), (20, 20, 1.0, 0.1)))[0] == 20


def test_an_error_has_to_fall_by_more_than_its_error_bar():
    rows = table(*SOUND, (20, 20, 1.0, 0.15))
    assert choose_first(rows)[0] == 20
    # Of the same mean, but not the same for all splits: 0.05 +- 2 x 0.126.
    rows.loc[3, ERRORS] = [0.15 - 0.26, 0.15 + 0.08, 0.15 + 0.18]
    assert choose_first(rows)[0] == 10


def test_a_small_size_that_is_not_found_again_is_stepped_over():
    assert choose_first(table((2, 2, 1.0, 0.8), (5, 5, 0.6, 0.5), (10, 10, 1.0, 0.2)))[0] == 10


def test_sizes_with_the_same_programs_are_one_and_it_is_the_smallest():
    rows = table((14, 10, 1.0, 0.2), *SOUND[:2], (20, 10, 1.0, 0.2), (10, 10, 1.0, 0.2))
    assert choose_first(rows) == (
        10,
        "Layer 1: 10 programs (10 asked for), all found again in other cells.",
    )


@pytest.mark.parametrize(
    "rows",
    [
        [(5, 5, 0.4, 0.9), (3, 3, 0.6, 0.95)],
        [(5, 5, 1.0, 1.2), (3, 3, 1.0, 1.01)],
        # Lower than a single program's, but within the error bar.
        [(5, 5, 1.0, 0.9999), (3, 3, 1.0, 0.995)],
    ],
    ids=["not found again", "nothing explained", "error bar"],
)
def test_noise_gets_the_smallest_size_and_a_sentence(rows):
    size, reason = choose_first(table(*rows))
    assert size == 3
    assert reason.startswith("Layer 1: 3, the smallest size that was tried, since no size has")
    assert reason.endswith("these counts look like noise.")


def test_without_halves_it_is_the_smallest():
    size, reason = choose_first(table((5, 5, np.nan, 0.4), (3, 3, np.nan, 0.5)))
    assert size == 3
    assert "too few cells to see what is found again" in reason
    # Where only the larger sizes are too large for the halves, the others decide.
    assert choose_first(table(*SOUND, (20, 20, np.nan, 0.1)))[0] == 10


def test_sizes_that_failed_do_not_count():
    rows = pd.concat([failed(2, 20), table(*SOUND[1:])], ignore_index=True)
    assert choose_first(rows)[0] == 10
    assert choose_first(failed(9, 7)) == (
        7,
        "Layer 1: no size could be fitted (failed: too wide.).",
    )


def later(*rows: tuple[float, ...], layer: int = 2) -> pd.DataFrame:
    """Further layers by (size, programs, replicated, parents)."""
    frame = pd.DataFrame(rows, columns=["size", "programs", "replicated", "parents"])
    return frame.assign(layer=layer, status=FINE, gap=np.nan)


@pytest.mark.parametrize(
    ("rows", "size"),
    [
        pytest.param([(8, 8, 0.95, 1), (6, 6, 1, 1), (4, 4, 1, 1)], 6, id="all before most"),
        pytest.param([(8, 8, 0.95, 1), (6, 6, 0.9, 1), (4, 4, 0.8, 1)], 8, id="nine tenths"),
        pytest.param([(8, 8, 0.89, 1), (4, 4, 0.5, 1)], None, id="not found again"),
        pytest.param([(8, 8, 1, 1.6), (4, 4, 1, 1.5)], 4, id="too many parents"),
        pytest.param([(8, 6, 1, 1), (4, 4, 1, 1)], 4, id="not what was asked for"),
        pytest.param([(10, 10, 1, 1), (9, 9, 1, 1)], 9, id="hardly fewer than before"),
        pytest.param([(2, 1, 1, 1)], None, id="a single program"),
        pytest.param([(5, 4, 1, 1), (4, 4, 1, 1)], 4, id="the same programs"),
        pytest.param([(4, 4, np.nan, 1)], None, id="no halves"),
    ],
)
def test_a_further_layer_groups_and_is_found_again(rows, size):
    found, reason = choose_further(later(*rows), 12)
    assert found == size
    if size is None:
        assert reason == (
            "No layer 2: no size groups the 12 programs in a way that is found again in other "
            "cells."
        )
    else:
        assert reason.startswith(f"Layer 2: {size} programs group the 12 before, 1.")


def test_the_sentence_says_what_a_further_merge_would_cost():
    rows = later((4, 4, 1, 1)).assign(gap=4.27)
    assert choose_further(rows, 12)[1] == (
        "Layer 2: 4 programs group the 12 before, 1.00 parents each on average, all found again; "
        "to put two more together costs 4.3 times as much as the last two did."
    )


def test_further_layers_that_failed_do_not_count():
    rows = later((6, 6, 1, 1), (4, 4, 1, 1), layer=3)
    rows.loc[0, ["status", "programs"]] = ["failed: too wide.", np.nan]
    assert choose_further(rows, 12)[0] == 4
    rows.loc[1, ["status", "programs"]] = ["failed: too wide.", np.nan]
    assert choose_further(rows, 12)[0] is None


def test_sizes_near_the_best():
    rows = table((2, 2, 1, 0.9), (5, 5, 1, 0.5), (10, 9, 1, 0.2), (20, 20, 1, 0.1))
    assert _near(rows, 10) == [8, 9, 15]
    assert _near(rows, 20) == [15]
    assert _near(rows, 2) == [4]  # 3.5
    assert _near(table((2, 1, 1, 0.9), (3, 3, 1, 0.5)), 2) == []
    assert _near(failed(4, 8), 4) == [6]
    # The least error, but not found again: 8 (7.5), 15 and 9 may be.
    rows = table((2, 2, 1, 0.9), (5, 5, 1, 0.5), (10, 9, 0.8, 0.2), (20, 20, 1, 0.45))
    assert _near(rows, 5) == [4, 8, 9, 15]


def test_sizes_of_a_further_layer():
    """Where merges become dear: those where they do so most, and not hardly fewer than before."""
    level = np.full(15, 1.1)
    assert _levels(level) == []
    level[[2, 3, 4, 5, 7, 8, 9, 10, 11, 12]] = [2, 1.3, 1.24, 3, 1.4, 1.5, 1.6, 1.7, 9, 9]
    assert _levels(level) == [10, 9, 8, 7, 5, 2]
    assert _levels(np.array([np.nan, np.nan])) == []
    lists = [[12, 6, 3], [12, 4], [8, 5], [12, 6, 2]]
    assert _of_lists([12], 11, lists) == [6, 4]
    assert _of_lists([12], 5, lists) == [4]  # layers become smaller
    assert _of_lists([12, 6], 6, lists) == [3, 2]
    assert _of_lists([8, 5], 5, lists) == []


class Prepared:
    """Trials whose results are known: a first layer has what it is asked for, up to ten programs.

    They lie in pairs. Further layers of half of the programs before are found again, and no others.
    """

    dataset = SimpleNamespace(team=ALONE)

    def __init__(self) -> None:
        self.asked: list[list[int]] = []

    def first_layers(self, sizes: Iterable[int]) -> pd.DataFrame:
        self.asked.append(list(sizes))
        return table(*((s, min(s, 10), 1.0, 1 - 0.08 * min(s, 10)) for s in self.asked[-1]))

    def model(self, sizes: Iterable[int]) -> "Layers":
        return Layers(list(sizes))

    def later_layers(
        self, previous: "Layers", before: tuple[int, ...], sizes: Iterable[int]
    ) -> Iterator[tuple[dict[str, object], "Layers"]]:
        for size in sizes:
            found = float(size == 0.5 * previous.layers[-1])
            row = {"layer": len(before) + 1, "before": "-".join(map(str, before)), "size": size}
            row |= {"programs": size, "replicated": found, "parents": 1.0, "status": FINE}
            yield row, Layers([*previous.layers, size])


class NoLater(Prepared):
    """Of which no further layer can be fitted."""

    def later_layers(
        self, previous: "Layers", before: tuple[int, ...], sizes: Iterable[int]
    ) -> Iterator[tuple[dict[str, object], None]]:
        for size in sizes:
            yield {"layer": 2, "before": "8", "size": size, "status": "failed: it diverged."}, None


class Layers:
    def __init__(self, layers: list[int]) -> None:
        self.layers = layers
        programs = 0.1 * np.eye(layers[-1]) + np.eye(layers[-1])[np.arange(layers[-1]) // 2]
        self.usages, self.betas = [np.eye(layers[-1])], [programs]


def test_sizes_near_the_best_are_tried_and_may_win():
    trials = Prepared()
    choice = choose_layers(trials, trials.first_layers([4, 8, 16]))
    # Of 16 asked for 10 are there; 10 asked for are the same, and smaller.
    assert trials.asked == [[4, 8, 16], [10, 12]]
    assert choice.layers == [10, 5]
    chosen = choice.tried[choice.tried["chosen"]]
    assert chosen[["layer", "before", "size"]].to_numpy().tolist() == [[1, "", 10], [2, "10", 5]]


def test_smaller_sizes_are_tried_only_as_long_as_one_of_them_might_be_chosen(monkeypatch):
    """At all levels two programs are put together more dearly than the last two."""
    monkeypatch.setattr("neuralNMF.sizes.choose.gaps", lambda costs: np.full(costs.size, 1.3))
    trials = Prepared()
    tried = trials.first_layers([10])
    choice = choose_layers(trials, tried, refine=False)
    rows = choice.tried
    assert choice.layers == [10, 5]
    assert rows.loc[rows["layer"] == 2, "size"].tolist() == [7, 6, 5, 2, 3, 4]
    assert rows.loc[rows["layer"] == 2, "status"].tolist() == [FINE] * 3 + [NOT_TRIED] * 3
    assert rows.loc[rows["layer"] == 3, "size"].tolist() == [3, 2]
    assert rows["gap"].tolist()[1:] == [1.3] * 8


def test_where_merges_never_become_dear_there_is_no_further_layer(monkeypatch):
    """But in lists, whose sizes are asked for."""
    monkeypatch.setattr("neuralNMF.sizes.choose.gaps", lambda costs: np.full(costs.size, 1.2))
    trials = Prepared()
    tried = trials.first_layers([10])
    choice = choose_layers(trials, tried, refine=False)
    assert choice.layers == [10]
    assert choice.tried["status"].tolist() == [FINE] + [NOT_TRIED] * 6
    assert choice.reason.endswith(
        "No layer 2: whichever of the 10 programs are put together, the next two cost hardly more, "
        "so that no number of groups up to 7 stands out."
    )
    of_lists = choose_layers(trials, tried, lists=[[10, 5]])
    assert of_lists.layers == [10, 5]
    assert of_lists.reason.endswith("the last two did.") and "No layer" not in of_lists.reason


def test_no_layer_between_the_planted_ones():
    """The pairs of six programs; four groups of them would be found again as well."""
    data = planted(seed=3)
    trials = Trials(data, options(), progress=False)
    choice = choose_layers(trials, trials.first_layers([FINE_PROGRAMS]), refine=False)
    assert choice.layers == [FINE_PROGRAMS, COARSE_PROGRAMS]
    rows = choice.tried[choice.tried["layer"] == 2]
    assert rows["size"].tolist() == [COARSE_PROGRAMS, 2, 4]
    assert rows["status"].tolist() == [FINE, NOT_TRIED, NOT_TRIED]
    assert rows["gap"].iloc[0] > 1.5 > rows["gap"].iloc[1:].max()


def test_a_smaller_size_with_as_many_programs_is_still_tried():
    assert _is_last(later((8, 8, 1, 1)), 8, [6, 4])
    assert not _is_last(later((8, 7, 1, 1)), 8, [7, 4])
    assert not _is_last(later((8, 8, 0.9, 1)), 8, [6])
    assert not _is_last(later((8, 8, 0.5, 1)), None, [6])
    assert _is_last(later((8, 8, 0.5, 1)), None, [])


def test_a_first_layer_that_was_tried_is_not_fitted_again(data, monkeypatch):
    trials = Trials(data, options(epochs=2), progress=False)
    trials.first_layers([3])
    anew = Trials(data, options(epochs=2), progress=False).model([3])
    monkeypatch.setattr("neuralNMF.sizes.trial.add_layer", None)
    np.testing.assert_array_equal(trials.model([3]).betas[0], anew.betas[0])


def test_no_more_than_three_layers_unless_a_list_has_more():
    trials = Prepared()
    tried = trials.first_layers([8])
    assert choose_layers(trials, tried, refine=False).layers == [8, 4, 2]
    assert choose_layers(trials, tried, lists=[[8, 4, 2, 1]]).layers == [8, 4, 2]
    assert trials.asked == [[8]]
    deep = trials.first_layers([32]).assign(programs=32)
    assert choose_layers(trials, deep, lists=[[32, 16, 8, 4, 2]]).layers == [32, 16, 8, 4, 2]


def test_a_first_layer_is_kept_where_every_later_one_fails():
    trials = NoLater()
    choice = choose_layers(trials, trials.first_layers([8]))
    assert choice.layers == [8]
    assert choice.tried["status"].tolist() == [FINE] + ["failed: it diverged."] + [NOT_TRIED] * 3
    assert choice.tried["chosen"].tolist() == [True] + [False] * 4


# The file of the choice


def test_the_choice_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "new" / "layers.json"
    save_layers(path, [12, 4], "Layer 1: 12 programs, „all“ found again.")
    assert load_layers(path) == ([12, 4], "Layer 1: 12 programs, „all“ found again.")
    assert "„all“" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "text", ["", "{", "[3]", '{"layers": [3]}', '{"layers": null, "reason": ""}', None]
)
def test_a_damaged_choice_is_one_sentence(tmp_path, text):
    path = tmp_path / "layers.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=r"layers\.json' does not name the layers of a run"):
        load_layers(path)


def test_a_table_is_read_as_it_was_written(tmp_path):
    rows = pd.concat([table(*SOUND), failed(20)], ignore_index=True)
    write_table(rows, tmp_path / "sizes.tsv")
    back = read_table(tmp_path / "sizes.tsv")
    assert list(back) == COLUMNS
    assert choose_first(back) == choose_first(rows)
    (tmp_path / "empty.tsv").touch()
    for name in ("empty.tsv", "missing.tsv"):
        with pytest.raises(InputError, match=f"The table '.*{name}' cannot be read"):
            read_table(tmp_path / name)


# The picture


@pytest.mark.parametrize("depth", [1, 3])
def test_the_picture_has_a_column_a_layer(depth):
    parts = [pd.concat([table(*SOUND), failed(20)], ignore_index=True)]
    parts += [later((6, 6, 1, 1.0), (4, 4, 0.9, 1.2), layer=n) for n in range(2, depth + 1)]
    rows = pd.concat(parts, ignore_index=True)
    rows["chosen"] = rows["size"].isin([10, 6])
    figure = plot_sizes(rows)
    assert len(figure.axes) == 2 * depth
    titles = [axes.get_title(loc="left") for axes in figure.axes[:depth]]
    assert titles == [f"layer {number}" for number in range(1, depth + 1)]
    programs, again = (line.get_ydata() for line in figure.axes[0].lines[1:3])
    np.testing.assert_allclose(programs, [2, 5, 10, np.nan])
    np.testing.assert_allclose(again, [2, 5, 9, np.nan])
    dashed = [line for line in figure.axes[0].lines if line.get_linestyle() == "--"]
    assert [line.get_xdata()[0] for line in dashed] == [10]
    held_out = figure.axes[depth].lines
    assert len(held_out) == len(ERRORS) + 2
    np.testing.assert_allclose(held_out[len(ERRORS)].get_ydata(), [0.8, 0.5, 0.2, np.nan])


def test_of_a_further_layer_all_gaps_are_drawn_and_the_programs_of_what_was_tried():
    rest = pd.DataFrame({"layer": 2, "size": [2, 3], "gap": [1.1, 1.2], "status": NOT_TRIED})
    rows = [table(*SOUND), later((4, 4, 0.75, 1.0)).assign(gap=3.0), rest]
    figure = plot_sizes(pd.concat(rows, ignore_index=True).assign(chosen=False))
    above, below = figure.axes[1], figure.axes[3]
    assert [line.get_xydata().tolist() for line in above.lines[1:3]] == [[[4, 4]], [[4, 3]]]
    assert below.lines[0].get_xydata().tolist() == [[2, 1.1], [3, 1.2], [4, 3.0]]
    assert below.get_xlim() == (1.4, 4.6)


def test_a_table_of_before_there_were_gaps_is_drawn():
    rows = pd.concat([table(*SOUND), later((4, 4, 0.75, 1.0))], ignore_index=True)
    figure = plot_sizes(rows.drop(columns="gap").assign(chosen=False))
    assert np.isnan(figure.axes[3].lines[0].get_ydata()).all()


def test_nothing_tried_is_nothing_to_draw():
    with pytest.raises(InputError, match="none was tried"):
        plot_sizes(table())


def test_sizes_that_all_failed_are_drawn():
    figure = plot_sizes(failed(4, 8).assign(chosen=False))
    figure.draw_without_rendering()
    assert len(figure.axes) == 2
