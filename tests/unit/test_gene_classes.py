"""Classes of genes by their symbols: names of real genes that are in, and of those that are not."""

import numpy as np
import pytest
from neuralNMF.errors import InputError
from neuralNMF.gene_classes import GENE_CLASSES, gene_class, gene_class_mask
from neuralNMF.io.counts import open_counts

# The 80 proteins of the human ribosome (47 and 33, Ban et al. 2014) but RACK1, which is also a
# scaffold elsewhere in the cell.
HUMAN_RIBOSOME = [
    *(f"RPL{n}" for n in (*range(3, 16), *range(17, 20), 21, 22, 23, 24, *range(26, 33), 34, 35,
                          36, 37, 38, 39, 41)),
    *(f"RPL{n}A" for n in (7, 10, 13, 18, 23, 27, 35, 36, 37)),
    "RPLP0", "RPLP1", "RPLP2", "UBA52",
    *(f"RPS{n}" for n in (2, 3, *range(5, 22), *range(23, 30))),
    "RPS3A", "RPS4X", "RPS15A", "RPS27A", "RPSA", "FAU",
]  # fmt: skip
ONES = {
    "ribosomal": [
        *HUMAN_RIBOSOME,
        *("RPL3L", "RPL7L1", "RPL10L", "RPL22L1", "RPL26L1", "RPL36AL", "RPL39L", "RPS4Y1"),
        *("RPS27L", "RPL37RT", "RPS17L", "RPS12L2"),
        *("RPS10P7", "RPSAP58", "RPL23AP42", "RPS4XP13", "RPLP0P6"),  # pseudogenes
        *("Rpl10", "Rpl13a", "Rps4x", "Rps3a1", "Rplp0", "Rpsa", "Rps27rt", "Uba52"),
        *("Rpl10-ps2", "RPL10-PS2", "Rps29-ps", "Rpl7l1-ps1"),
        *("rpl5b", "rps27.1", "RpLP0", "RPL7B", "rpl-3"),  # zebrafish, fly, yeast, worm
        *("RPS17.1", "RPS17-1"),
    ],
    "mitochondrial": [
        *("MT-ND1", "MT-ND4L", "MT-CO1", "MT-CYB", "MT-ATP6", "MT-RNR2", "MT-TP", "MT.ND1"),
        *("mt-Nd1", "mt-Co1", "mt-Cytb", "MT-CYTB", "mt-Rnr1", "mt:CoI"),
        *("ND1", "ND4L", "COX1", "CYTB", "ATP8"),
    ],
    "haemoglobin": [
        *("HBA1", "HBA2", "HBB", "HBD", "HBE1", "HBG1", "HBG2", "HBM", "HBQ1", "HBZ", "HBBP1"),
        *("Hba-a1", "Hba-a2", "Hba-x", "Hbb-bs", "Hbb-bt", "Hbb-b1", "Hbb-bh1", "Hbb-y"),
        *("Hbq1a", "Hbq1b", "Hba-ps4", "HBB-BS", "hbaa1", "hbbe1.1"),
    ],
}
OTHERS = {
    "ribosomal": [
        *("RPS6KA1", "RPS6KA6", "RPS6KB2", "RPS6KC1", "RPS6KL1", "Rps6ka1", "RPS19BP1"),
        *("MRPL1", "MRPS18A", "Mrpl10", "RPLL", "RPN1", "RP11-206L10.2", "RPL", "RPS", "RPP25"),
        *("RPL17-C18orf32", "FAUX", "UBA5", "", "nan"),
    ],
    "mitochondrial": [
        *("MT1X", "MT2A", "Mt1", "MTRNR2L12", "MTOR", "MTATP6P1", "MTND1P23", "MRPL1", "NDUFA1"),
        *("COX4I1", "COX10", "ATP6V0B", "ATP5MC1", "TFAM", "MT", "SMT-1"),
    ],
    "haemoglobin": [
        *("HBEGF", "HBP1", "HBS1L", "HBXIP", "Hbegf", "Hbp1", "HB", "HBBX", "AHBA1", "HP"),
    ],
}


@pytest.mark.parametrize("name", GENE_CLASSES)
def test_genes_are_told_by_their_symbols(name):
    ones, others = ONES[name], OTHERS[name]
    mask = gene_class_mask(np.array([*ones, *others], dtype=object), name)
    assert mask.dtype == bool
    assert [gene for gene, inside in zip(ones, mask[: len(ones)], strict=True) if not inside] == []
    assert [gene for gene, inside in zip(others, mask[len(ones) :], strict=True) if inside] == []


def test_the_human_ribosome_is_complete():
    assert len(set(HUMAN_RIBOSOME)) == 79


def test_no_gene_is_in_two_classes():
    genes = sum([*ONES.values(), *OTHERS.values()], [])
    assert np.sum([gene_class_mask(genes, name) for name in GENE_CLASSES], axis=0).max() == 1


def test_names_of_classes():
    assert gene_class("hemoglobin") == gene_class("Haemoglobin") == "haemoglobin"
    assert gene_class("ribosomal") == "ribosomal" and gene_class("RPL10") is None
    assert gene_class_mask([], "hemoglobin").shape == (0,)
    with pytest.raises(InputError, match="no gene class 'ribosome': it may be ribosomal, mito"):
        gene_class_mask(["RPL10"], "ribosome")


@pytest.mark.parametrize(
    ("file", "mitochondrial", "haemoglobin"), [("pbmc_facs", 13, 6), ("zilionis_lung", 13, 8)]
)
def test_real_symbols(shared_data, file, mitochondrial, haemoglobin):
    """Against what a look at all symbols with the usual beginnings finds, human and mouse."""
    with open_counts(shared_data / f"{file}.h5ad") as reader:
        symbols = reader.gene_symbols
    usual = {
        str(symbol) for symbol in symbols if str(symbol).startswith(("RPL", "RPS", "FAU", "UBA52"))
    }
    not_ribosomal = {s for s in usual if s.startswith(("RPS6K", "RPS19BP", "RPL17-C"))}
    found = set(symbols[gene_class_mask(symbols, "ribosomal")])
    assert len(not_ribosomal) >= 9 and found == usual - not_ribosomal
    assert gene_class_mask(symbols, "mitochondrial").sum() == mitochondrial
    assert gene_class_mask(symbols, "haemoglobin").sum() == haemoglobin
