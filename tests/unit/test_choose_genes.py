"""Variable genes by Pearson residuals and gene lists, against plainly written dense formulas."""

import numpy as np
import pytest
import scipy.sparse as sp
from neuralNMF.dataset import pearson
from neuralNMF.dataset.gene_statistics import GeneStatistics, pooled
from neuralNMF.dataset.match_genes import match_genes
from neuralNMF.dataset.pearson import PearsonResiduals
from neuralNMF.dataset.variable_genes import most_variable
from neuralNMF.errors import InputError
from neuralNMF.io.counts import open_counts


def dense_residual_variance(counts, theta=100.0):
    """Lause, Berens & Kobak 2021 as scanpy.experimental computes it, cell by gene."""
    counts = np.asarray(counts, dtype=np.float64)
    counts = counts[counts.sum(axis=1) > 0]  # a cell without counts has no residuals
    used = counts.sum(axis=0) > 0
    x = counts[:, used]
    mu = x.sum(axis=1, keepdims=True) @ x.sum(axis=0, keepdims=True) / x.sum()
    residuals = (x - mu) / np.sqrt(mu + mu**2 / theta)
    limit = np.sqrt(x.shape[0])
    variance = np.zeros(counts.shape[1])
    variance[used] = np.clip(residuals, -limit, limit).var(axis=0)
    return variance


def streamed(counts, step, theta=100.0):
    sparse = sp.csr_matrix(counts).astype(np.float32)
    residuals = PearsonResiduals(counts.sum(axis=0).astype(float), counts.shape[0], theta)
    for start in range(0, counts.shape[0], step):
        residuals.add(sparse[start : start + step])
    return residuals.variance()


@pytest.fixture
def counts():
    rng = np.random.default_rng(0)
    depth = rng.lognormal(0, 0.7, (211, 1))
    rate = depth * rng.gamma(0.3, 1.0, (1, 60))
    rate[:30, :5] *= 20  # genes that differ
    counts = rng.poisson(rate)
    counts[:, 17] = 0
    counts[:, 18] = 0
    counts[3, 18] = 50  # one cell only: its residual is clipped
    counts[:, 0] += 1
    return counts


@pytest.mark.parametrize("step", [1, 7, 100, 211, 1000])
@pytest.mark.parametrize("theta", [100.0, 3.0, np.inf])
def test_residual_variance_is_the_dense_formulas(counts, step, theta):
    expected = dense_residual_variance(counts, theta)
    assert np.allclose(streamed(counts, step, theta), expected, rtol=1e-9, atol=1e-12)
    assert expected[17] == 0
    assert expected[18] < dense_unclipped(counts, theta)[18]  # the clipping is tested, too


def dense_unclipped(counts, theta):
    x = counts.astype(float)
    mu = x.sum(axis=1, keepdims=True) @ x.sum(axis=0, keepdims=True) / x.sum()
    with np.errstate(invalid="ignore"):
        return ((x - mu) / np.sqrt(mu + mu**2 / theta)).var(axis=0)


def test_zeros_are_summed_in_blocks(counts, monkeypatch):
    monkeypatch.setattr(pearson, "BLOCK", 150)  # two totals at a time
    assert np.allclose(streamed(counts, 50), dense_residual_variance(counts), rtol=1e-9)


def test_real_data_is_the_dense_formulas(shared_data):
    with open_counts(shared_data / "pbmc_facs.h5ad") as reader:
        counts = next(reader.chunks(700))[1][:, :3000].toarray()
    assert np.allclose(streamed(counts, 97), dense_residual_variance(counts), rtol=1e-9)


# Largest residual variances of pbmc_facs.h5ad, and the sum over all genes, computed by
# scanpy.experimental.pp.highly_variable_genes of scanpy 1.11.5.
SCANPY = {
    "ENSG00000115523": 25.572934,
    "ENSG00000143546": 25.476033,
    "ENSG00000163220": 24.163934,
    "ENSG00000254709": 18.047712,
    "ENSG00000105374": 14.985104,
    "ENSG00000019582": 14.956889,
}
SCANPY_SUM = 17565.26971968347


def test_real_data_gives_scanpys_numbers(shared_data):
    with open_counts(shared_data / "pbmc_facs.h5ad") as reader:
        statistics = GeneStatistics(reader.shape[1])
        for _, counts in reader.chunks(1000):
            statistics.add(counts)
        residuals = PearsonResiduals(statistics.sums, statistics.cells)
        for _, counts in reader.chunks(1000):
            residuals.add(counts)
    variance = residuals.variance()
    top = most_variable(variance[None], len(SCANPY))
    assert list(reader.gene_ids[top]) == list(SCANPY)
    assert np.allclose(variance[top], list(SCANPY.values()), atol=1e-6)
    assert variance.sum() == pytest.approx(SCANPY_SUM, rel=1e-7)


def test_a_cell_without_counts_has_residuals_of_zero(counts):
    padded = np.vstack([counts, np.zeros((1, 60), counts.dtype)])
    residuals = PearsonResiduals(counts.sum(axis=0).astype(float), 212)
    residuals.clip = np.sqrt(211)  # of the cells with counts, to compare their sums
    residuals.add(sp.csr_matrix(padded))
    without = PearsonResiduals(counts.sum(axis=0).astype(float), 211)
    without.add(sp.csr_matrix(counts))
    residuals.cells = 211
    assert np.allclose(residuals.variance(), without.variance())


def test_statistics_are_numpys(counts):
    statistics = GeneStatistics(60)
    for start in range(0, 211, 13):
        statistics.add(sp.csr_matrix(counts[start : start + 13]).astype(np.float32))
    assert statistics.cells == 211
    assert np.allclose(statistics.mean(), counts.mean(axis=0))
    assert np.allclose(statistics.variance(), counts.var(axis=0))
    assert (statistics.n_cells == (counts > 0).sum(axis=0)).all()


def test_statistics_of_several_inputs_are_those_of_all_their_cells(counts):
    parts = [GeneStatistics(60) for _ in range(3)]
    for part, chunk in zip(parts, np.array_split(counts, 3), strict=True):
        part.add(sp.csr_matrix(chunk).astype(np.float32))
    together = pooled(parts)
    assert together.cells == 211 and parts[0].cells == 71
    assert np.allclose(together.mean(), counts.mean(axis=0))
    assert np.allclose(together.variance(), counts.var(axis=0))
    assert (together.n_cells == (counts > 0).sum(axis=0)).all()


def test_most_variable_of_one_input():
    assert most_variable(np.array([[1.0, 5.0, 3.0, 4.0]]), 2).tolist() == [1, 3]
    assert sorted(most_variable(np.array([[1.0, 2.0]]), 9)) == [0, 1]


def test_most_variable_of_several_inputs_as_scanpys_batch_key():
    variance = np.array(
        [
            # ranks:  0    1    2    3    4
            [9.0, 8.0, 7.0, 1.0, 2.0],  # top 3: genes 0, 1, 2
            [1.0, 8.0, 9.0, 7.0, 2.0],  # top 3: genes 2, 1, 3
            [2.0, 9.0, 1.0, 8.0, 7.0],  # top 3: genes 1, 3, 4
        ]
    )
    # Gene 1 is in three tops. 2 (ranks 2, 0: median 1) and 3 (ranks 2, 1: 1.5) in two; 0 (rank 0)
    # and 4 (rank 2) in one.
    assert most_variable(variance, 3).tolist() == [1, 2, 3]
    order = [most_variable(variance[:, [4, 3, 2, 1, 0]], 3).tolist(), [3, 2, 1]]
    assert order[0] == order[1]


IDS = np.array(["E1", "E2", "E3", "E4"], dtype=object)
SYMBOLS = np.array(["A", "B", "B", "E1"], dtype=object)


def test_genes_are_matched_by_id_or_symbol(caplog):
    assert match_genes(["E3", "A"], IDS, SYMBOLS, "include").tolist() == [True, False, True, False]
    assert match_genes(["B"], IDS, SYMBOLS, "include").tolist() == [False, True, True, False]
    assert not caplog.text
    match_genes(["A", "nope"], IDS, SYMBOLS, "include")
    assert "include: 1 of 2 genes are not in the data: nope" in caplog.text


def test_a_list_without_any_known_gene_is_an_error():
    with pytest.raises(InputError, match="None of the 2 genes of 'exclude'.*'E1'.*'A'"):
        match_genes(["x", "y"], IDS, SYMBOLS, "exclude")


CLASSED = np.array(["RPL10", "MALAT1", "Rps4x", "RPS6KA1"], dtype=object)


@pytest.mark.parametrize("names", [["ribosomal"], ["Ribosomal", "ribosomal"], ["E1", "ribosomal"]])
def test_classes_stand_beside_names(names, caplog):
    with caplog.at_level("INFO"):
        mask = match_genes(names, IDS, CLASSED, "exclude")
    assert mask.tolist() == [True, False, True, False]
    assert caplog.text.count("exclude: 2 ribosomal genes (RPL10, Rps4x)") == 1


def test_a_class_of_which_there_is_no_gene_is_a_warning(caplog):
    mask = match_genes(["hemoglobin", "MALAT1"], IDS, CLASSED, "exclude")
    assert mask.tolist() == [False, True, False, False]
    message = "exclude: no gene is haemoglobin by its symbol, symbols are like 'RPL10'"
    assert [record.getMessage() for record in caplog.records] == [message]
    assert not match_genes(["mitochondrial"], IDS, CLASSED, "exclude").any()
    with pytest.raises(InputError, match="None of the 1 genes of 'exclude'"):
        match_genes(["mitochondrial", "nope"], IDS, CLASSED, "exclude")


def test_a_class_that_does_not_exist_is_taken_for_a_gene():
    with pytest.raises(InputError, match="or classes: ribosomal, mitochondrial, haemoglobin."):
        match_genes(["ribosome"], IDS, CLASSED, "exclude")
