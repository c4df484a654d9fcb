"""The benchmarks' simulator of planted hierarchies: sizes, truth, what NMF finds in it."""

import numpy as np
import pytest
from helpers import cosine
from neuralNMF.errors import InputError
from neuralNMF.evidence.matching import match_by_genes, tree_recovered
from neuralNMF.fit import fit_layer
from neuralNMF.io.dataset import open_dataset
from neuralNMF.options import LayerOptions

from benchmarks.planted import simulate_hierarchy


@pytest.fixture(scope="module")
def hierarchy(tmp_path_factory):
    path = tmp_path_factory.mktemp("hierarchy") / "dataset.h5ad"
    truth = simulate_hierarchy(
        path, 6000, 500, 8, 4, rng=np.random.default_rng(0), density=0.08, chunk_cells=2500
    )
    return path, truth


def test_hierarchy_has_the_size_and_density_asked_for(hierarchy):
    path, _ = hierarchy
    data = open_dataset(path)
    assert data.shape == (6000, 500)
    assert data.nnz / (6000 * 500) == pytest.approx(0.08, rel=0.02)
    counts = data.rows(0, 6000)
    assert (data.obs["total_counts"] == np.asarray(counts.sum(axis=1)).ravel()).all()
    assert np.allclose(data.var["mean"], np.asarray(counts.mean(axis=0)).ravel())
    assert (data.var["n_cells"] == counts.getnnz(axis=0)).all()
    assert data.obs["selected_counts"].min() > 0


def test_hierarchy_truth_is_nested_and_can_be_told_apart(hierarchy):
    path, truth = hierarchy
    for programs in (truth.fine, truth.coarse):
        assert np.allclose(programs.sum(axis=1), 1)
    siblings = truth.parent[:, None] == truth.parent
    between = cosine(truth.fine, truth.fine)
    assert between[~siblings].max() < 0.1
    off = siblings & ~np.eye(8, dtype=bool)
    assert between[off].min() > 0.3 and between[off].max() < 0.9
    # a mean of the children, inside their hull
    for c in range(4):
        children = truth.fine[truth.parent == c]
        shares = np.linalg.lstsq(children.T, truth.coarse[c], rcond=None)[0]
        assert np.allclose(shares @ children, truth.coarse[c])
        assert shares.min() > 0.3
    with np.load(path.with_name("dataset_truth.npz")) as saved:
        assert np.array_equal(saved["fine"], truth.fine)


def test_cells_of_the_hierarchy_follow_their_coarse_program(hierarchy):
    path, truth = hierarchy
    data = open_dataset(path)
    counts = data.rows(0, 6000)
    assert list(data.obs["coarse"].cat.codes) == list(truth.cell_coarse)
    means = np.stack(
        [np.asarray(counts[truth.cell_coarse == c].mean(axis=0)).ravel() for c in range(4)]
    )
    assert np.diag(cosine(means, truth.coarse)).min() > 0.99


def test_planted_programs_are_found_by_nmf(hierarchy):
    decomposition = pytest.importorskip("sklearn.decomposition")
    path, truth = hierarchy
    counts = open_dataset(path).rows(0, 6000)
    for programs in (truth.fine, truth.coarse):
        model = decomposition.NMF(len(programs), init="nndsvda", max_iter=200, tol=1e-3)
        model.fit(counts)
        assert cosine(programs, model.components_).max(axis=1).min() > 0.95


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_planted_programs_of_both_layers_are_found(tmp_path, seed):
    path = tmp_path / "dataset.h5ad"
    truth = simulate_hierarchy(path, 3000, 500, 8, 4, rng=np.random.default_rng(seed), density=0.08)
    model = None
    for rank in (8, 4):
        options = LayerOptions(rank, seed=seed, threads=1)
        model = fit_layer(open_dataset(path), model, options, progress=False)
    assert model.layers == [8, 4]
    matches = []
    for beta, planted in zip(model.betas, (truth.fine, truth.coarse), strict=True):
        match, cosines = match_by_genes(beta, planted)
        assert cosines.min() >= 0.99
        matches.append(match)
    parents = model.thetas[1].argmax(axis=1)
    assert tree_recovered(parents, truth.parent, *matches) == 1


def test_hierarchy_same_seed_same_bytes_and_one_cell(tmp_path):
    contents = []
    for name in ("a.h5ad", "b.h5ad"):
        simulate_hierarchy(tmp_path / name, 1, 100, 4, 2, rng=np.random.default_rng(3))
        contents.append((tmp_path / name).read_bytes())
    assert contents[0] == contents[1]


@pytest.mark.parametrize(
    ("sizes", "options", "message"),
    [
        ((10, 100, 4, 3), {}, "4 fine programs in 3"),
        ((10, 10, 4, 2), {}, "4 x fine"),
        ((10, 100, 4, 2), {"density": 1.5}, "density 1.5"),
        ((10, 20_000, 4, 2), {"density": 0.9}, "needs over"),
    ],
)
def test_hierarchy_refuses_sizes_that_do_not_fit(tmp_path, sizes, options, message):
    with pytest.raises(InputError, match=message):
        simulate_hierarchy(tmp_path / "x.h5ad", *sizes, rng=np.random.default_rng(0), **options)
    assert list(tmp_path.iterdir()) == []
