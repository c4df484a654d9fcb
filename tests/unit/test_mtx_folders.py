"""MatrixMarket folders: as every program and GEO name them, and as people's tables are written."""

import gzip
import logging

import numpy as np
import pytest
import scipy.sparse as sp
from helpers import same_matrix
from neuralNMF.errors import InputError
from neuralNMF.io.counts import open_counts

COUNTS = sp.csr_matrix(np.random.default_rng(1).poisson(0.6, (23, 11)))
IDS = [f"ENSG{j:011d}" for j in range(11)]
SYMBOLS = [f"GEN{j}" for j in range(11)]
BARCODES = [f"ACGTACGTAC{i:02d}-1" for i in range(23)]


def lines(*columns, sep="\t"):
    return "".join(sep.join(row) + "\n" for row in zip(*columns, strict=True))


TYPES = ["Gene Expression"] * 9 + ["Antibody Capture"] * 2
FEATURES, GENES = lines(IDS, SYMBOLS, ["Gene Expression"] * 11), lines(IDS, SYMBOLS)
CELLS = lines(BARCODES)
HEAD = "%%MatrixMarket matrix coordinate integer general\n"


def matrix(counts=COUNTS):
    entries = counts.tocoo()
    body = lines(*(map(str, part) for part in (entries.row + 1, entries.col + 1, entries.data)))
    return f"{HEAD}%\n{counts.shape[0]} {counts.shape[1]} {entries.nnz}\n{body}"


GENES_FIRST, CELLS_FIRST = matrix(COUNTS.T), matrix()


def write(folder, **files):
    """Files by name, with __ for a dot; packed where they are named so."""
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        path = folder / name.replace("__", ".")
        data = content.encode() if isinstance(content, str) else content
        path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return folder


def read(path, chunk=7):
    with open_counts(path) as reader:
        return reader, sp.vstack([part for _, part in reader.chunks(chunk)], format="csr")


PREFIXED = {
    "GSM1_d_matrix__mtx__gz": GENES_FIRST,
    "GSM1_d_barcodes__tsv__gz": CELLS,
    "GSM1_d_features__tsv__gz": FEATURES,
}
NUMBERED = [f'"{i}"' for i in range(1, 24)]
QUOTED_CELLS, QUOTED_IDS = ([f'"{name}"' for name in names] for names in (BARCODES, IDS))


def files(**contents):
    """Names of files, with __ for a dot, and what is in them."""
    return contents


LAYOUTS = {
    "GEO": PREFIXED,
    "GEO, by its own word": files(
        GSM3__mtx__gz=GENES_FIRST, GSM3_barcodes__tsv__gz=CELLS, GSM3_genes__tsv__gz=GENES
    ),
    "GEO, with dots": files(
        GSM3__matrix__mtx=GENES_FIRST, GSM3__barcodes__tsv=CELLS, GSM3__genes__tsv=GENES
    ),
    "GEO, word in the middle": files(
        GSM3_matrix_A__mtx=GENES_FIRST, GSM3_barcodes_A__tsv=CELLS, GSM3_genes_A__tsv=GENES
    ),
    "GEO, other words": files(
        GSE_counts__mtx__gz=GENES_FIRST, GSE_cells__txt__gz=CELLS, GSE_genes__txt__gz=GENES
    ),
    "GEO, table of the series": files(
        GSM9_matrix__mtx=GENES_FIRST, GSM9_barcodes__tsv=CELLS, GSE8_features__tsv=FEATURES
    ),
    "STARsolo": {
        "matrix__mtx": GENES_FIRST,
        "UniqueAndMult-EM__mtx": "other",
        "barcodes__tsv": CELLS,
        "features__tsv": FEATURES,
    },
    "alevin": files(
        quants_mat__mtx__gz=CELLS_FIRST, quants_mat_rows__txt=CELLS, quants_mat_cols__txt=lines(IDS)
    ),
    "kallisto": files(
        cells_x_genes__mtx=CELLS_FIRST,
        cells_x_genes__barcodes__txt=CELLS,
        cells_x_genes__genes__txt=lines(IDS),
        cells_x_genes__genes__names__txt=lines(SYMBOLS),
    ),
    "old kallisto": files(
        genes__mtx=CELLS_FIRST, genes__barcodes__txt=CELLS, genes__genes__txt=lines(IDS)
    ),
    "Parse": files(
        count_matrix__mtx=CELLS_FIRST,
        cell_metadata__csv="bc_wells,sample,tscp_count\n"
        + lines(BARCODES, ["s"] * 23, ["4"] * 23, sep=","),
        all_genes__csv="gene_id,gene_name,genome\n" + lines(IDS, SYMBOLS, ["hg38"] * 11, sep=","),
    ),
    "write.csv of R": files(
        matrix__mtx=GENES_FIRST,
        barcodes__csv='"","x"\n' + lines(NUMBERED, QUOTED_CELLS, sep=","),
        genes__csv='"","x"\n' + lines(NUMBERED[:11], QUOTED_IDS, sep=","),
    ),
    "write.table of R": files(
        matrix__mtx=GENES_FIRST,
        barcodes__tsv='"x"\n' + lines(NUMBERED, QUOTED_CELLS),
        genes__tsv=lines(QUOTED_IDS, [f'"{symbol}"' for symbol in SYMBOLS]),
    ),
    "header, id and symbol swapped": files(
        matrix__mtx=GENES_FIRST, barcodes__tsv="barcode\n" + CELLS, genes__tsv=lines(SYMBOLS, IDS)
    ),
    "Windows": files(
        matrix__mtx=GENES_FIRST.replace("\n", "\r\n"),
        barcodes__tsv=CELLS.replace("\n", "\r\n"),
        genes__tsv=GENES.encode("utf-16"),
    ),
    "byte order marks": files(
        matrix__mtx="\ufeff" + GENES_FIRST,
        barcodes__tsv="\ufeff" + CELLS,
        genes__tsv="\ufeff" + GENES,
    ),
    "chromosomes": files(
        matrix__mtx=GENES_FIRST,
        barcodes__tsv=CELLS,
        genes__tsv=lines(IDS, SYMBOLS, map(str, range(11)), ["100"] * 11),
    ),
    "multiome": files(
        matrix__mtx=GENES_FIRST,
        barcodes__tsv=CELLS,
        features__tsv=FEATURES.replace("Expression\n", "Expression\tchr1\t0\t9\n", 5),
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(tmp_path, layout):
    folder = write(tmp_path / "m", **LAYOUTS[layout])
    reader, found = read(folder)
    assert same_matrix(found, COUNTS.astype(np.float32))
    assert list(reader.barcodes) == BARCODES and list(reader.gene_ids) == IDS
    named = any(SYMBOLS[4] in str(text) for text in LAYOUTS[layout].values()) or layout == "Windows"
    assert list(reader.gene_symbols) == (SYMBOLS if named else IDS)
    if layout == "Parse":
        assert list(reader.obs) == ["sample", "tscp_count"] and reader.obs["tscp_count"].sum() == 92


def test_square_matrices_are_read_by_whose_they_are(tmp_path):
    square = sp.csr_matrix(np.arange(121).reshape(11, 11))
    names = {"rows": lines(BARCODES[:11]), "cols": lines(IDS)}
    alevin = write(
        tmp_path / "a",
        quants_mat__mtx=matrix(square),
        quants_mat_rows__txt=names["rows"],
        quants_mat_cols__txt=names["cols"],
    )
    cellranger = write(
        tmp_path / "c",
        matrix__mtx=matrix(square),
        barcodes__tsv=names["rows"],
        genes__tsv=names["cols"],
    )
    assert same_matrix(read(alevin)[1], square.astype(np.float32))
    assert same_matrix(read(cellranger)[1], sp.csr_matrix(square.T.astype(np.float32)))


def test_one_of_several_by_its_path(tmp_path):
    second = {name.replace("GSM1", "GSM2"): text for name, text in PREFIXED.items()}
    second["GSM2_d_barcodes__tsv__gz"] = lines(BARCODES[::-1])
    folder = write(tmp_path / "m", **PREFIXED, **second)
    with pytest.raises(InputError, match=r"GSM1_d_matrix.mtx.gz, GSM2_d_matrix.mtx.gz: give the"):
        read(folder)
    assert list(read(folder / "GSM2_d_matrix.mtx.gz")[0].barcodes) == BARCODES[::-1]


@pytest.mark.parametrize("names", [("spliced", "unspliced", "ambiguous"), ("spliced",)])
def test_spliced_counts_alone_are_not_taken(tmp_path, names):
    parts = {f"{name}__mtx": GENES_FIRST for name in names}
    folder = write(tmp_path / "m", **parts, barcodes__tsv=CELLS, features__tsv=FEATURES)
    with pytest.raises(InputError, match="spliced.mtx.*: give the path of the one"):
        read(folder)
    assert read(folder / "spliced.mtx")[1].shape == (23, 11)


def test_spliced_and_unspliced_of_alevin_fry(tmp_path):
    genes = [f"{name}{end}" for name in IDS[:3] for end in ("", "-U", "-A")] + IDS[3:5]
    folder = write(
        tmp_path / "m",
        quants_mat__mtx=CELLS_FIRST,
        quants_mat_rows__txt=CELLS,
        quants_mat_cols__txt=lines(genes),
    )
    with pytest.raises(InputError, match="unspliced .* counts of each gene: add them up first"):
        read(folder)


def test_the_folder_below_is_named(tmp_path):
    write(tmp_path / "filtered", matrix__mtx=GENES_FIRST, barcodes__tsv=CELLS, genes__tsv=GENES)
    with pytest.raises(InputError, match=f"has no matrix.mtx .*: give '{tmp_path}/filtered'"):
        read(tmp_path)


# Tables


@pytest.mark.parametrize(
    "third",
    [
        "\t".join(["{}"]),
        "{}\tchr1\t1\t2",
    ],
)
def test_antibodies_are_left_out(tmp_path, caplog, third):
    features = lines(IDS, SYMBOLS, [third.format(kind) for kind in TYPES])
    folder = write(
        tmp_path / "m", matrix__mtx=GENES_FIRST, barcodes__tsv=CELLS, features__tsv=features
    )
    with caplog.at_level(logging.INFO):
        reader, found = read(folder)
    assert same_matrix(found, COUNTS[:, :9].astype(np.float32))
    assert "9 of 11 features are genes, the others (Antibody Capture)" in caplog.text


def test_types_that_a_tab_splits(tmp_path):
    features = lines(IDS, SYMBOLS, [kind.replace(" ", "\t") for kind in TYPES])
    folder = write(
        tmp_path / "m", matrix__mtx=GENES_FIRST, barcodes__tsv=CELLS, features__tsv=features
    )
    assert list(read(folder)[0].gene_symbols) == SYMBOLS[:9]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("mCherry mCherry Gene Expression", r"1 column in line 5 \('mCherry mCherry Gene Exp"),
        ("ENSG5\tGEN5", "2 columns in line 5"),
        ("ENSG5\tGEN\t5\tGene Expression", "4 columns in line 5"),
    ],
)
def test_the_odd_line_is_named(tmp_path, line, message):
    rows = FEATURES.splitlines()
    rows[4] = line
    folder = write(
        tmp_path / "m", matrix__mtx=GENES_FIRST, barcodes__tsv=CELLS, features__tsv="\n".join(rows)
    )
    with pytest.raises(InputError, match=f"features.tsv' has {message}.* others have 3"):
        read(folder)


def test_latin_1(tmp_path, caplog):
    genes = GENES.replace("GEN5", "GENµ5").encode("latin-1")
    folder = write(tmp_path / "m", matrix__mtx=GENES_FIRST, barcodes__tsv=CELLS, genes__tsv=genes)
    assert read(folder)[0].gene_symbols[5] == "GENµ5"
    assert "is not UTF-8, read as Latin-1, such as" in caplog.text and "GENµ5" in caplog.text


def test_compression_is_told_by_the_bytes(tmp_path):
    folder = write(
        tmp_path / "m",
        matrix__mtx=gzip.compress(GENES_FIRST.encode()),
        barcodes__tsv=CELLS,
        genes__tsv=gzip.compress(GENES.encode()),
    )
    assert same_matrix(read(folder)[1], COUNTS.astype(np.float32))
    (folder / "matrix.mtx").unlink()
    (folder / "matrix.mtx.gz").write_text(GENES_FIRST)
    assert same_matrix(read(folder)[1], COUNTS.astype(np.float32))


# Broken matrices


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ("11 23 2\n1 1 3 0 0\n1 2 3 0 1\n", "more than three numbers a line"),
        ("11 23 2\n1 1 3\n1 2 3 0 1\n", "more than three numbers a line"),
        ("11 23 1\n1 1 3 4\n", "more than three numbers a line"),
        ("11 23 1\n1 1 99999999999999999999999\n", "2\\^24"),
        ("11 23 1\n99999999999999999999 1 1\n", "not three numbers"),
        ("11 23 1\n1 1 1e300\n", "NaN or infinite"),
        ("11 23 1\nnan 1 3\n", "not three numbers"),
        ("11 23 1\n1.5 1 3\n", "not three numbers"),
        ("11 23 99999999999\n1 1 3\n", "announces 99999999999 entries but holds fewer"),
        ("-11 -23 1\n1 1 3\n", "says that it is -11 x -23"),
        ("11 99999999999 1\n1 1 3\n", "says that it is"),
        ("11 23 3\n1 1 3\n% note\n", "not three numbers"),
        ("11 23 1\n1 1 16777217\n", "2\\^24"),
    ],
)
def test_broken_matrices(tmp_path, caplog, entries, message):
    folder = write(
        tmp_path / "m", matrix__mtx=HEAD + entries, barcodes__tsv=CELLS, genes__tsv=GENES
    )
    if "24" in message:
        read(folder)
        assert "counts of 2^24 and more, which are kept to seven digits" in caplog.text
    else:
        with pytest.raises(InputError, match=message):
            read(folder)
