"""A look into files of counts: where the counts are, what columns and genes are."""

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from helpers import make_adata
from neuralNMF.errors import InputError
from neuralNMF.io.places import places_of
from neuralNMF.survey.columns import judge_columns, kind_of
from neuralNMF.survey.counts import survey_counts
from neuralNMF.survey.species import species_of

CELLS, GENES = 120, 30


@pytest.fixture
def counts() -> np.ndarray:
    return np.random.default_rng(0).poisson(1.5, (CELLS, GENES)).astype(np.float32)


def written(tmp_path, adata, name="some.h5ad"):
    path = tmp_path / name
    adata.write_h5ad(path)
    return path


@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix, sp.csc_matrix])
def test_counts_are_found_in_a_layer_where_x_is_normalised(tmp_path, counts, form):
    adata = make_adata(counts)
    adata.layers["counts"] = form(counts)
    adata.layers["scaled"] = form(counts - counts.mean(axis=0))
    adata.X = form(np.log1p(counts))
    path = written(tmp_path, adata)
    faults = {place.layer: place.fault for place in places_of(path)}
    assert faults == {"X": "fractional", "counts": "", "scaled": "negative"}
    survey = survey_counts(path)
    assert survey.layer == "counts"
    assert (survey.cells, survey.genes) == (CELLS, GENES)
    assert survey.median_counts == np.median(counts.sum(axis=1))
    assert survey.genes_a_cell == np.median((counts > 0).sum(axis=1))
    assert survey.nonzeros(None) == np.count_nonzero(counts)
    best = np.sort((counts > 0).sum(axis=0))[::-1]
    assert survey.nonzeros(4) == best[:4].sum()


def test_raw_is_taken_where_it_has_more_genes(tmp_path, counts):
    whole = make_adata(counts)
    part = whole[:, :10].copy()
    part.raw = whole
    survey = survey_counts(written(tmp_path, part))
    assert survey.layer == "raw"
    assert survey.genes == GENES


def test_x_comes_before_layers_of_the_same_genes(tmp_path, counts):
    adata = make_adata(counts)
    adata.layers["counts"] = sp.csr_matrix(counts)
    adata.layers["ranks"] = sp.csr_matrix(np.ceil(counts))
    assert survey_counts(written(tmp_path, adata)).layer is None
    adata.X = sp.csr_matrix(np.log1p(counts))
    assert survey_counts(written(tmp_path, adata)).layer == "counts"


def test_a_file_without_counts_says_what_it_holds(tmp_path, counts):
    adata = make_adata(np.log1p(counts))
    adata.layers["scaled"] = counts - 1
    with pytest.raises(InputError, match="X has fractional values; scaled has negative values"):
        survey_counts(written(tmp_path, adata))


def test_a_file_of_zeros_holds_no_counts(tmp_path):
    path = written(tmp_path, make_adata(np.zeros((9, 5))))
    with pytest.raises(InputError, match="no counts: of its 9 cells 9 were looked at, and all of"):
        survey_counts(path)


def test_rounded_values_of_one_total_are_noticed(tmp_path, counts):
    assert not survey_counts(written(tmp_path, make_adata(counts))).equal_totals
    equal = np.rint(1e6 * counts / counts.sum(axis=1, keepdims=True))
    assert survey_counts(written(tmp_path, make_adata(equal))).equal_totals


def test_counts_far_into_a_file_are_looked_at(tmp_path):
    """The first cells may be whole numbers by chance: CITE-seq panels, cells of one count."""
    counts = np.ones((4000, 50), np.float32)
    counts[-100:] = 0.5
    with pytest.raises(InputError, match="fractional"):
        survey_counts(written(tmp_path, make_adata(counts)))


def test_columns_are_told_by_name_and_levels():
    cells = 200
    fine = np.repeat(["T CD4", "T CD8", "B", "NK"], 50)
    obs = pd.DataFrame(
        {
            "leiden": pd.Categorical(np.arange(cells) % 7),
            "cell_type": pd.Categorical(fine),
            "lineage": np.where(np.char.startswith(fine, "T"), "T", "other"),
            "cell_type_ontology_term_id": fine,
            "donor_id": np.arange(cells) % 4,
            "batch": np.where(np.arange(cells) % 2, "one", "two"),
            "stim": np.repeat(["ctrl", "stim", "nan", "ctrl"], 50),
            "n_counts": np.arange(cells),
            "one_value": "x",
            "barcode_sequence": [f"c{i}" for i in range(cells)],
            "colour": np.where(np.arange(cells) % 3, "red", "blue"),
        }
    )
    found = judge_columns(obs)
    assert [column.name for column in found.labels] == ["cell_type", "lineage", "leiden"]
    assert found.labels[0].levels == 4
    assert found.coarse is not None and found.coarse.name == "lineage"  # leiden crosses the types
    assert [column.name for column in found.batches] == ["batch", "donor_id"]
    assert [column.name for column in found.conditions] == ["stim"]
    assert (found.conditions[0].levels, found.conditions[0].unlabelled) == (2, 50)
    assert [column.name for column in found.others] == ["colour"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("CellType", "labels"), ("predicted.celltype.l2", "labels"), ("seurat_clusters", "labels"),
        ("orig.ident", "batches"), ("Sample_ID", "batches"), ("disease", "conditions"),
        ("time_point", "conditions"), ("predicted_doublet", None), ("Phase", None), ("x", "others"),
    ],
)  # fmt: skip
def test_names_that_people_use(name, kind):
    assert kind_of(name)[0] == kind


@pytest.mark.parametrize(
    ("names", "species"),
    [
        ([f"ENSG{i:011d}" for i in range(50)], "human"),
        ([f"ENSMUSG{i:011d}.3" for i in range(50)], "mouse"),
        ([f"{of}{i:011d}" for of in ("GRCh38_ENSG", "mm10___ENSMUSG") for i in range(50)],
         "human and mouse"),
        ([f"ENSDARG{i:011d}" for i in range(99)] + ["eGFP"], "zebrafish"),
        (["ACTB", "HLA-A", "CD3E", "LINC00115"] * 9, "human"),
        (["ACTB", "H2-K1", "CD3E", "0610007P14RIK"] * 9, "mouse"),
        (["Actb", "Cd3e", "Ptprc"] * 9, "mouse or rat"),
        (["g1", "g2"] * 9, ""),
    ],
)  # fmt: skip
def test_species(names, species):
    assert species_of(names, names) == species


def test_a_format_with_one_place(tmp_path, counts):
    table = tmp_path / "counts.csv"
    frame = pd.DataFrame(counts.astype(int), columns=[f"g{j}" for j in range(GENES)])
    frame.rename(index="c{}".format).to_csv(table)
    survey = survey_counts(table)
    assert (survey.places, survey.layer) == ((), None)
    assert {survey.cells, survey.genes} == {CELLS, GENES}


def test_files_of_others(shared_data):
    blood = survey_counts(shared_data / "pbmc_facs.h5ad")
    assert (blood.cells, blood.species, blood.ids) == (3774, "human", True)
    assert blood.class_shares["ribosomal"] == pytest.approx(0.44, abs=0.02)
    lung = survey_counts(shared_data / "zilionis_lung.h5ad")
    assert (lung.species, lung.ids) == ("mouse", False)
    assert [column.name for column in lung.columns.batches] == ["animal"]
    stimulated = survey_counts(shared_data / "ifnb_pbmc.h5ad").columns
    assert [column.name for column in stimulated.conditions] == ["condition"]
    assert (stimulated.labels[0].name, stimulated.coarse.name) == ("celltype", "lineage")
    folder = survey_counts(shared_data / "10x" / "v3_filtered_feature_bc_matrix")
    assert (folder.cells, folder.genes) == (1107, 507)


def test_anndata_reads_what_was_surveyed(shared_data):
    """The figures are those of the whole file, where all cells are looked at."""
    path = shared_data / "lymph_node.h5ad"
    x = anndata.read_h5ad(path).X
    assert survey_counts(path).nonzeros(None) == sp.csr_matrix(x).count_nonzero()
