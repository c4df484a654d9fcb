"""Flags of programs by the genes that mark them: of what kind most of the best markers are.

Genes are told by their symbols, in any case, so that mouse genes count as human ones do.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from neuralNMF.gene_classes import gene_class_mask

# What cells do when tissue is taken apart and warmed: immediate early genes and heat shock, the
# kind of genes that dissociation induces (van den Brink et al. 2017, Nature Methods 14, 935).
_STRESS = """
    ATF3 BAG3 BTG1 BTG2 CEBPB CEBPD DNAJA1 DNAJB1 DNAJB4 DUSP1 DUSP2 EGR1 EGR2 EGR3 FOS FOSB FOSL1
    GADD45B GADD45G HSP90AA1 HSP90AB1 HSPA1A HSPA1B HSPA6 HSPA8 HSPB1 HSPD1 HSPE1 HSPH1 IER2 IER3
    IER5 JUN JUNB JUND KLF2 KLF4 KLF6 MCL1 NFKBIA NR4A1 NR4A2 PPP1R15A RHOB SOCS3 UBC ZFP36 ZFP36L1
"""
# Genes of the S phase and of G2 and M (Tirosh et al. 2016, Science 352, 189), in both the names of
# that paper and those that have replaced them: MLF1IP CENPU, FAM64A PIMREG, HN1 JPT1.
_CELL_CYCLE = """
    ATAD2 BLM BRIP1 CASP8AP2 CCNE2 CDC45 CDC6 CDCA7 CENPU CHAF1B CLSPN DSCC1 DTL E2F8 EXO1 FEN1
    GINS2 GMNN HELLS MCM2 MCM4 MCM5 MCM6 MLF1IP MSH2 NASP PCNA POLA1 POLD3 PRIM1 RAD51 RAD51AP1
    RFC2 RPA2 RRM1 RRM2 SLBP TIPIN TYMS UBR7 UHRF1 UNG USP1 WDR76
    ANLN ANP32E AURKA AURKB BIRC5 BUB1 CBX5 CCNB2 CDC20 CDC25C CDCA2 CDCA3 CDCA8 CDK1 CENPA CENPE
    CENPF CKAP2 CKAP2L CKAP5 CKS1B CKS2 CTCF DLGAP5 ECT2 FAM64A G2E3 GAS2L3 GTSE1 HJURP HMGB2 HMMR
    HN1 JPT1 KIF11 KIF20B KIF23 KIF2C LBR MKI67 NCAPD2 NDC80 NEK2 NUF2 NUSAP1 PIMREG PSRC1 RANGAP1
    SMC4 TACC3 TMPO TOP2A TPX2 TTK TUBB4B UBE2C
"""
STRESS, CELL_CYCLE = (frozenset(names.split()) for names in (_STRESS, _CELL_CYCLE))


def _among(names: frozenset[str], symbols: np.ndarray) -> np.ndarray:
    """Which of some symbols are of a list of genes, (n,) bool."""
    return np.fromiter((str(symbol).upper() in names for symbol in symbols), bool, len(symbols))


@dataclass(frozen=True)
class _Rule:
    """A flag, the genes that it looks for, and pairs: at least so many among so many best markers.

    Of lists of genes, of which a data set may hold few, a fifth of fifty markers says as much as
    half of ten: chance would give one or two.
    """

    flag: str
    which: Callable[[np.ndarray], np.ndarray]
    least: tuple[tuple[int, int], ...]


_RULES = (
    _Rule("ribosomal", partial(gene_class_mask, name="ribosomal"), ((5, 10),)),
    _Rule("mitochondrial", partial(gene_class_mask, name="mitochondrial"), ((5, 10),)),
    # A blood cell has three or four of these genes at most.
    _Rule("haemoglobin", partial(gene_class_mask, name="haemoglobin"), ((2, 3), (5, 10))),
    _Rule("MALAT1", partial(_among, frozenset({"MALAT1"})), ((1, 10),)),
    _Rule("stress", partial(_among, STRESS), ((5, 10), (10, 50))),
    _Rule("cell cycle", partial(_among, CELL_CYCLE), ((5, 10), (10, 50))),
)
# Markers that are looked at.
JUDGED = max(best for rule in _RULES for _, best in rule.least)
# Flags of programs that stand behind the others.
LAST = ("dead", "noise")
# Flags of what is no program of a type or state of cell; the cell cycle is a state.
TECHNICAL = (*LAST, *(rule.flag for rule in _RULES if rule.flag != "cell cycle"))


def marker_flags(symbols: np.ndarray) -> tuple[str, ...]:
    """The flags that a program's markers give it.

    Parameters
    ----------
    symbols : ndarray of str
        Of the `JUDGED` best markers, or fewer, the best first.

    Returns
    -------
    tuple of str
        Of these, in this order: ``ribosomal``, ``mitochondrial`` (five of the ten best markers are
        of that class), ``haemoglobin`` (two of the three best, or five of the ten), ``MALAT1``
        (among the ten best), ``stress``, ``cell cycle`` (five of the ten best or ten of the fifty
        best are in `STRESS`, in `CELL_CYCLE`).
    """
    return tuple(
        rule.flag
        for rule in _RULES
        if any(rule.which(symbols[:best]).sum() >= least for least, best in rule.least)
    )
