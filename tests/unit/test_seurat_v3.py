"""Variable genes as Seurat and scanpy find them, against dense formulas and against scanpy."""

import warnings

import anndata
import numpy as np
import pytest
import scipy.sparse as sp
from neuralNMF.dataset import DatasetOptions, InputSpec, build_dataset, seurat_v3
from neuralNMF.dataset.gene_statistics import GeneStatistics
from neuralNMF.dataset.seurat_v3 import StandardizedCounts, variance_trend
from neuralNMF.dataset.variable_genes import most_variable
from neuralNMF.io.counts import open_counts
from neuralNMF.io.dataset import open_dataset
from skmisc.loess import loess

FILES = {"pbmc_facs": 20, "ifnb_pbmc": 3, "lymph_node": 1, "zilionis_lung": 20}  # min_cells


def dense_variance(counts, clip=True):
    """Stuart et al. 2019, "Feature selection for individual datasets", cell by gene."""
    counts = np.asarray(counts, dtype=np.float64)
    mean, variance = counts.mean(axis=0), counts.var(axis=0, ddof=1)
    result = np.zeros(counts.shape[1])
    some = np.ptp(counts, axis=0) > 0
    trend = loess(np.log10(mean[some]), np.log10(variance[some]), span=0.3, degree=2)
    trend.fit()
    z = (counts[:, some] - mean[some]) / np.sqrt(10**trend.outputs.fitted_values)
    if clip:
        z = np.minimum(z, np.sqrt(len(counts)))
    result[some] = (z**2).sum(axis=0) / (len(counts) - 1)
    return result


def streamed(counts, step):
    sparse = sp.csr_matrix(counts).astype(np.float32)
    statistics = GeneStatistics(sparse.shape[1])
    chunks = [sparse[start : start + step] for start in range(0, sparse.shape[0], step)]
    for chunk in chunks:
        statistics.add(chunk)
    found = StandardizedCounts(statistics.sums, statistics.squares, statistics.cells)
    for chunk in chunks:
        found.add(chunk)
    return found.variance()


@pytest.fixture
def counts():
    rng = np.random.default_rng(0)
    rate = rng.lognormal(0, 0.7, (211, 1)) * rng.gamma(0.5, 3.0, (1, 90))
    rate[:30, :5] *= 20  # genes that differ
    counts = rng.poisson(rate)
    counts[:, 17] = 0
    counts[:, 19] = 3  # as many in every cell
    counts[:, 18] = 0
    counts[3, 18] = 50  # one cell only: it is clipped
    return counts


@pytest.mark.parametrize("step", [1, 7, 211, 1000])
def test_streamed_is_the_dense_formula(counts, step):
    expected = dense_variance(counts)
    assert np.allclose(streamed(counts, step), expected, rtol=1e-12, atol=0)
    assert expected[18] < dense_variance(counts, clip=False)[18]  # the clipping is tested, too


def test_a_gene_that_does_not_vary_scores_zero(counts):
    varies = np.delete(np.arange(90), [17, 19])
    found = streamed(counts, 50)
    assert found[17] == found[19] == 0
    assert np.array_equal(found[varies], streamed(counts[:, varies], 50))
    large = np.hstack([counts, np.full((211, 1), 65_537)])  # its sum of squares is rounded
    assert np.array_equal(streamed(large, 50), [*found, 0])


# Genes with the largest variances of standardized counts in pbmc_facs.h5ad, and the sum over all
# genes: scanpy.pp.highly_variable_genes(flavor="seurat_v3") of scanpy 1.11.5.
SCANPY = {
    "ENSG00000143546": 10.790735,  # S100A8
    "ENSG00000254709": 10.783099,  # IGLL5
    "ENSG00000163220": 10.331985,  # S100A9
    "ENSG00000204983": 9.276211,  # PRSS1
    "ENSG00000090382": 9.112976,  # LYZ
    "ENSG00000172236": 8.476623,  # TPSAB1
}
SCANPY_SUM = 16965.1733744446


def variances(path, genes=None):
    """Of a counts file, read as `build_dataset` does."""
    with open_counts(path) as reader:
        genes = np.arange(reader.shape[1]) if genes is None else genes
        statistics = GeneStatistics(genes.size)
        for _, chunk in reader.chunks(500):
            statistics.add(chunk[:, genes])
        found = StandardizedCounts(statistics.sums, statistics.squares, statistics.cells)
        for _, chunk in reader.chunks(500):
            found.add(chunk[:, genes])
        return found.variance(), reader.gene_ids[genes]


def test_real_data_gives_scanpys_numbers(shared_data):
    variance, ids = variances(shared_data / "pbmc_facs.h5ad")
    top = most_variable(variance[None], len(SCANPY))
    assert list(ids[top]) == list(SCANPY)
    assert np.allclose(variance[top], list(SCANPY.values()), atol=1e-6)
    assert variance.sum() == pytest.approx(SCANPY_SUM, rel=1e-9)


@pytest.fixture(scope="module")
def scanpy():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scanpy's own, of what it stands on
        return pytest.importorskip("scanpy")


def scanpys(scanpy, data, **keys):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return scanpy.pp.highly_variable_genes(
            data, flavor=keys.pop("flavor", "seurat_v3"), inplace=False, **keys
        )


@pytest.mark.parametrize(("file", "min_cells"), FILES.items())
def test_the_same_genes_as_scanpy(scanpy, shared_data, tmp_path, file, min_cells):
    """All that scanpy chooses, but for genes of one score at the border: there it picks any."""
    path = shared_data / f"{file}.h5ad"
    options = DatasetOptions(variable_genes=2000, min_cells=min_cells)
    build_dataset([InputSpec(path, "a")], tmp_path / "d.h5ad", options, progress=False)
    ours = open_dataset(tmp_path / "d.h5ad").var
    data = anndata.read_h5ad(path)
    data.X = sp.csr_matrix(data.X).astype(np.float64)
    data = data[:, np.asarray((data.X > 0).sum(axis=0)).ravel() >= min_cells].copy()
    theirs = scanpys(scanpy, data, n_top_genes=2000)
    score = theirs["variances_norm"]
    assert np.allclose(ours["variable_score"], score[ours.index], rtol=1e-12)
    border = np.sort(score)[-2000]
    differ = set(ours.index) ^ set(theirs.index[theirs["highly_variable"]])
    assert len(ours) == 2000 and {score[gene] for gene in differ} <= {border}


def test_several_inputs_as_scanpys_batches(scanpy, tmp_path, counts):
    """The rule that joins them is Seurat's and scanpy's "seurat_v3_paper": tops, then rank."""
    rng = np.random.default_rng(3)
    parts = [rng.poisson(rng.gamma(0.5, 3.0, (1, 200)) + 0.2, (n, 200)) for n in (150, 211, 90)]
    for i, part in enumerate(parts):
        part[:40, 10 * i : 10 * i + 15] *= 5
        data = anndata.AnnData(sp.csr_matrix(part.astype(np.float32)))
        data.write_h5ad(tmp_path / f"{i}.h5ad")
    inputs = [InputSpec(tmp_path / f"{i}.h5ad", f"in{i}") for i in range(3)]
    build_dataset(inputs, tmp_path / "d.h5ad", DatasetOptions(25), progress=False)
    ours = open_dataset(tmp_path / "d.h5ad").var
    together = anndata.AnnData(np.vstack(parts).astype(np.float64))
    together.obs["input"] = np.repeat(["a", "b", "c"], [len(part) for part in parts])
    keys = {"flavor": "seurat_v3_paper", "batch_key": "input"}
    theirs = scanpys(scanpy, together, n_top_genes=25, **keys)
    assert set(ours.index) == set(theirs.index[theirs["highly_variable"]])
    assert np.allclose(ours["variable_score"], theirs["variances_norm"][ours.index], rtol=1e-12)


# Where the loess fails: few genes, few different means


def test_few_means_widen_the_window(shared_data, caplog):
    """Mouse lung, all genes, a third of them in one or two cells: scanpy ends in an error."""
    variance, _ = variances(shared_data / "zilionis_lung.h5ad")
    assert "a span of 0.5 was taken" in caplog.text and len(caplog.records) == 1
    assert np.isfinite(variance).all() and 0.5 < np.median(variance[variance > 0]) < 1.5


@pytest.mark.parametrize("genes", [1, 2, 3, 9, 12, 40])
@pytest.mark.parametrize("cells", [1, 2, 5, 200])
def test_tiny_data(genes, cells, caplog):
    counts = np.random.default_rng(genes + cells).poisson(2.0, (cells, genes))
    variance = streamed(counts, 3)
    assert variance.shape == (genes,) and np.isfinite(variance).all() and (variance >= 0).all()
    assert ((variance > 0) == (np.ptp(counts, axis=0) > 0)).all()


def test_the_last_resort_is_a_parabola(caplog):
    x = np.repeat([0.0, 1.0, 2.0], 10)
    trend = variance_trend(x, 1 + 2 * x - 0.5 * x**2, "blood")
    assert np.allclose(trend, 1 + 2 * x - 0.5 * x**2)
    assert "blood: " in caplog.text and "one parabola" in caplog.text
    assert np.allclose(variance_trend(np.ones(30), np.arange(30.0), "one mean"), 14.5)
    assert variance_trend(np.zeros(0), np.zeros(0), "nothing").size == 0


def test_the_trend_is_the_loess_where_that_works(caplog):
    x = np.random.default_rng(0).normal(size=500)
    model = loess(x, np.sin(x), span=0.3, degree=2)
    model.fit()
    assert np.array_equal(variance_trend(x, np.sin(x), "a"), model.outputs.fitted_values)
    assert not caplog.text and seurat_v3.SPAN == 0.3
