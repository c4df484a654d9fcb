"""What each rule gets: inputs and params, and the targets of the whole workflow.

A rule's params hold only the values that its script uses, so that a change of the config reruns
the rules that it touches and no others.
"""

import json
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from neuralNMF.options import (
    GUIDE,
    INPUT,
    OF_CELLS,
    PER_LAYER,
    POISSON,
    PRIOR,
    RAW_COUNTS,
    REAL_CELLS,
    WHERE,
    LayerOptions,
)

from nmf_workflow.config import Config
from nmf_workflow.parts import PartPlan, gene_list_files, part_files
from nmf_workflow.resources import uses_gpu
from nmf_workflow.samples import Sample, Source

# Options of a fit that every layer of a run has, with the same value.
SHARED = sorted(
    {field.name for field in fields(LayerOptions)}
    - {"rank", "joint", "consensus", *OF_CELLS, *RAW_COUNTS, *PER_LAYER, *WHERE, *PRIOR, *GUIDE}
)
# Tables that judge a run's programs.
RUN_TABLES = ("programs", "gene_sets", "agreement", "conditions")
# Tables of each sample.
TABLES = ("cells", "genes")
# What a folder of counts may hold: a matrix and the names of its cells and genes, packed or not.
# Snakemake would take a name in braces for a wildcard.
TEXT_FILE = re.compile(
    r"[^{}]*\.mtx(\.(gz|bz2|xz))?"
    r"|[^{}]*(barcode|feature|gene|cell|names|metadata|quants_mat)[^{}]*\.(tsv|txt|csv)(\.(gz|bz2|xz))?",
    re.IGNORECASE,
)
MTX_FILE = re.compile(r"(?P<prefix>.*?)(count_)?[a-z]*\.mtx(\.(gz|bz2|xz))?", re.IGNORECASE)
# New cells: a folder of their own, since a model, not a sample, is what they belong to.
PROJECTED = "results/projected"

# What the search for a run's layers leaves to look at.
SIZES = ("sizes.tsv", "sizes.png", "sizes.pdf")

Wildcards = Any


def depth(config: Config) -> int:
    """The number of layers of the deepest run: so many training rules there are."""
    return max(len(run["layers"]) for run in config.runs.values())


def targets(config: Config) -> list[str]:
    """Every file that the whole workflow makes for the user to look at."""
    files = [f"results/{sample}/{table}.tsv" for sample in config.samples for table in TABLES]
    for sample in config.samples:
        for name, run in config.runs.items():
            if run["search"] is None:
                files += of_run(config, sample, name, len(run["layers"]))
            else:
                files += [f"results/{sample}/{name}/{file}" for file in SIZES]
    return files + [f"{PROJECTED}/{name}.h5ad" for name in config.projections]


def reports(config: Config) -> list[str]:
    """The page of every run of every sample; not among `targets`, since not every run is mailed."""
    return [
        f"results/{sample}/{run}/report.html" for sample in config.samples for run in config.runs
    ]


def searched(config: Config) -> list[str]:
    """Names of the runs whose layers are chosen by the data."""
    return [name for name, run in config.runs.items() if run["search"] is not None]


def of_run(config: Config, sample: str, run: str, last: int) -> list[str]:
    """The final model, the pictures and the tables of one run of one sample, `last` layers deep."""
    names = [f"layer{last}.h5nnmf", *sum(drawn(last, umap=config.umap(sample)).values(), [])]
    names += sum(judged(config.samples[sample]).values(), [])
    names += ["explore.h5ad", "umap.tsv"] if config.umap(sample) else []
    return [f"results/{sample}/{run}/{name}" for name in names]


def drawn(layers: int, umap: bool = True) -> dict[str, list[str]]:
    """Pictures and tables of a run of so many layers, by kind, the UMAPs among them or not."""
    all_layers = range(1, layers + 1)
    files = {
        "theta": [name for layer in all_layers for name in picture(f"theta_l{layer}")],
        "hierarchy": [name for layer in all_layers[1:] for name in picture(f"hierarchy_l{layer}")],
        "violins": [name for layer in all_layers for name in picture(f"violins_l{layer}")],
        "tree": picture("tree") if layers else [],
        "beta": [name for layer in all_layers for name in picture(f"beta_l{layer}_top")],
        "dots": [name for layer in all_layers for name in picture(f"dots_l{layer}")],
        "tables": [f"programs_l{layer}.tsv" for layer in all_layers],
        "gmt": ["programs.gmt"] if layers else [],
        "starcat": [f"starcat_l{layer}.tsv" for layer in all_layers],
        "loss": picture("loss") if layers else [],
    }
    if umap:
        stems = [f"umap_l{layer}{kind}" for layer in all_layers for kind in ("", "_programs")]
        files["umap"] = [name for stem in stems for name in picture(stem)[:2]]
    return files


def picture(stem: str) -> list[str]:
    """A picture's two files, and the table that it is drawn from."""
    return [f"{stem}.png", f"{stem}.pdf", f"{stem}.tsv"]


@dataclass(frozen=True)
class Pictures:
    """What a pair of rules draws.

    Attributes
    ----------
    suffix
        Added to the rules' names.
    runs
        Whose pictures.
    first
        The first layer that they draw; all that follow, or only this one.
    files
        By kind, with the wildcards ``{sample}`` and ``{run}``.
    """

    suffix: str
    runs: list[str]
    first: int
    files: dict[str, list[str]]


def picture_rules(config: Config) -> list[Pictures]:
    """What the rules of pictures are made for, one a number of layers, the deepest first.

    Of runs whose layers are chosen by the data nobody knows the number of layers beforehand: these
    have rules for a single layer.
    """
    fixed = {name: len(run["layers"]) for name, run in config.runs.items() if not run["search"]}
    depths = sorted(set(fixed.values()), reverse=True)
    rules = []
    for layers in depths:
        runs = [name for name, number in fixed.items() if number == layers]
        suffix = "" if layers == depths[0] else f"_{layers}_layers"
        rules.append(Pictures(suffix, runs, 1, _in_run(drawn(layers))))
    if runs := searched(config):
        for layer in range(1, depth(config) + 1):
            before, files = drawn(layer - 1), drawn(layer)
            new = {
                kind: [n for n in names if n not in before[kind]] for kind, names in files.items()
            }
            rules.append(Pictures(f"_of_layer_{layer}", runs, layer, _in_run(new)))
    return rules


def _in_run(files: dict[str, list[str]]) -> dict[str, list[str]]:
    return {
        kind: [f"results/{{sample}}/{{run}}/{name}" for name in names]
        for kind, names in files.items()
    }


def judged(sample: Sample) -> dict[str, list[str]]:
    """Tables and pictures that judge the programs of a sample's runs, by kind.

    What there is to judge them by decides which there are.
    """
    simulated = sample.simulate is not None
    comparable = simulated or sample.labels is not None or sample.batch is not None
    there = {
        "programs": (True, ["programs.tsv"]),
        "overview": (True, picture("programs")[:2]),
        "gene_sets": (bool(sample.gene_sets), ["gene_sets.tsv"]),
        "agreement": (comparable, ["agreement.tsv"]),
        "conditions": (sample.condition is not None, ["conditions.tsv"]),
        "truth": (simulated, picture("truth")),
    }
    return {kind: files for kind, (is_there, files) in there.items() if is_there}


def evidence_rules(config: Config) -> list[tuple[str, list[str], dict[str, list[str]]]]:
    """What the rules that judge programs are made for, one a set of files, the most kinds first.

    Returns
    -------
    list of (str, list of str, dict)
        What is added to the rules' names (nothing for those with the most kinds of files, to the
        others' what not all samples have), the names of the samples, and their files by kind, with
        the wildcards ``{sample}`` and ``{run}``.
    """
    kinds = {tuple(judged(sample)): judged(sample) for sample in config.samples.values()}
    common = set.intersection(*map(set, kinds))
    rules = []
    for number, files in enumerate(sorted(kinds.values(), key=len, reverse=True)):
        samples = [name for name, sample in config.samples.items() if judged(sample) == files]
        own = [kind for kind in files if kind not in common]
        suffix = "_".join(["", *own]) if own else "_only"
        rules.append((suffix if number else "", samples, _in_run(files)))
    return rules


def simulated(config: Config) -> list[str]:
    """Names of the samples that the workflow simulates."""
    return [name for name, sample in config.samples.items() if sample.simulate is not None]


def inside(sources: Iterable[Source]) -> list[str]:
    """The text files that belong to inputs: see `beside`."""
    return sorted(str(path) for source in sources for path in beside(Path(source.path)))


def one_of(names: Iterable[str]) -> str:
    """A pattern of exactly these names, or one that nothing matches."""
    return "|".join(map(re.escape, names)) or "(?!)"


def beside(path: Path) -> list[Path]:
    """The text files that belong to an input: in its folder or, with its prefix, beside it."""
    if not os.access(path if path.is_dir() else path.parent, os.R_OK):
        return []  # the reader will say so
    if path.is_dir():
        return [p for p in path.iterdir() if TEXT_FILE.fullmatch(p.name)]
    matrix = MTX_FILE.fullmatch(path.name)
    if matrix is None:
        return []
    # GSM1_matrix.mtx: GSM1_barcodes.tsv; matrix.mtx, quants_mat.mtx: all.
    return [
        p
        for p in path.parent.iterdir()
        if TEXT_FILE.fullmatch(p.name) and p.name.startswith(matrix["prefix"]) and p != path
    ]


def chosen_file(sample: str, run: str) -> str:
    """Where the layers are that the data have chosen for a run."""
    return f"results/{sample}/{run}/layers.json"


class Plan:
    """The config, asked by rule: each method is an input or params function of Snakemake's."""

    def __init__(self, config: Config, chosen: Callable[[str, str], str] = chosen_file) -> None:
        """`chosen` gives the path of the layers chosen for a sample and a run, once it is there."""
        self.config = config
        self.chosen = chosen

    def simulation(self, key: str | None = None) -> Callable[[Wildcards], Any]:
        """One parameter of ``simulate``, or all by name."""

        def value(wildcards: Wildcards) -> Any:
            parameters = self.config.samples[wildcards.sample].simulate or {}
            return dict(sorted(parameters.items())) if key is None else parameters[key]

        return value

    def counts(self, wildcards: Wildcards) -> list[str]:
        """The count files or folders of a sample, in the order of the config."""
        return [source.path for source in self.config.samples[wildcards.sample].sources]

    def parts(self, wildcards: Wildcards) -> list[str]:
        """Files that count as inputs beside the counts: those beside a matrix, and gene lists.

        A folder's own time stamp does not change when a file in it is overwritten, and a matrix'
        does not when its tables are.
        """
        sample = self.config.samples[wildcards.sample]
        return sorted([*inside(sample.sources), *gene_list_files(sample)])

    def beside_part(self, wildcards: Wildcards) -> list[str]:
        """The files beside the matrices that a part reads."""
        sources = self.config.samples[wildcards.sample].sources
        return inside([sources[number] for number, _, _ in PartPlan(self.config).own(wildcards)])

    def dataset_parts(self, wildcards: Wildcards) -> list[str]:
        """The files with the counts of a data set that lies in several; none of one file."""
        sample = self.config.samples[wildcards.sample]
        return [] if sample.dataset["parts"] == 1 else part_files(sample, "part-{part}.h5ad")

    def names(self, wildcards: Wildcards) -> list[str]:
        """Name of each input."""
        return [source.name for source in self.config.samples[wildcards.sample].sources]

    def input_layers(self, wildcards: Wildcards) -> list[str | None]:
        """The layer of each input that holds the counts, None for ``X``."""
        return [source.layer for source in self.config.samples[wildcards.sample].sources]

    def dataset(self, wildcards: Wildcards) -> dict[str, Any]:
        """Options of ``create_dataset``; how variable genes are found only where they are."""
        sample = self.config.samples[wildcards.sample]
        options = {key: sample.dataset[key] for key in sorted(sample.dataset) if key != "parts"}
        if options["variable_genes"] is None:
            options.pop("variable_genes_by")
        if sample.batch is not None:
            options["batch"] = sample.batch
        return options

    def labels(self, wildcards: Wildcards) -> str | None:
        """The column of ``obs`` that colours the cells and may guide a fit."""
        return self.config.samples[wildcards.sample].labels

    def all_labels(self, wildcards: Wildcards) -> dict[str, str]:
        """The columns of ``obs`` that programs are compared with, by what tables call them."""
        sample = self.config.samples[wildcards.sample]
        columns = {"label": sample.labels, "coarse_label": sample.coarse_labels}
        return {name: column for name, column in columns.items() if column is not None}

    def coloured(self, wildcards: Wildcards) -> list[str]:
        """The columns of ``obs`` that give the cells colours."""
        sample = self.config.samples[wildcards.sample]
        inputs = ["dataset"] if len(sample.sources) > 1 else []
        return list(dict.fromkeys([*self.counted(wildcards).values(), *inputs]))

    def umap(self, wildcards: Wildcards) -> bool:
        """Whether the cells are laid out where their file is asked for."""
        return self.config.umap(wildcards.sample)

    def places(self, wildcards: Wildcards) -> list[str]:
        """The table of where the cells of a run lie; none where they are not laid out."""
        folder = f"results/{wildcards.sample}/{wildcards.run}"
        return [f"{folder}/umap.tsv"] if self.umap(wildcards) else []

    def seed(self, wildcards: Wildcards) -> int:
        """The seed of a run."""
        return self.config.runs[wildcards.run]["seed"]

    def counted(self, wildcards: Wildcards) -> dict[str, str]:
        """The columns of ``obs`` by which cells are counted; the inputs are counted anyway."""
        groups = {k: c for k, c in self.groups(wildcards).items() if c != INPUT}
        return self.all_labels(wildcards) | groups

    def gene_sets(self, wildcards: Wildcards) -> list[str]:
        """The GMT files of a sample."""
        return list(self.config.samples[wildcards.sample].gene_sets)

    def truth(self, wildcards: Wildcards) -> list[str]:
        """The simulation of a sample that the workflow simulates."""
        sample = self.config.samples[wildcards.sample]
        return [] if sample.simulate is None else [f"data/{sample.name}.npz"]

    def run_tables(self, wildcards: Wildcards) -> list[str]:
        """The tables that judge a run's programs."""
        folder = f"results/{wildcards.sample}/{wildcards.run}"
        kinds = judged(self.config.samples[wildcards.sample])
        return [f"{folder}/{kind}.tsv" for kind in RUN_TABLES if kind in kinds]

    def new_counts(self, wildcards: Wildcards) -> list[str]:
        """The count files or folders of new cells."""
        return [source.path for source in self.config.projections[wildcards.name].sources]

    def new_parts(self, wildcards: Wildcards) -> list[str]:
        """Files that count as inputs beside the new counts: those beside a matrix."""
        return inside(self.config.projections[wildcards.name].sources)

    def new_inputs(self, key: str) -> Callable[[Wildcards], list[str | None]]:
        """``name`` or ``layer`` of each input of new cells."""
        return lambda wildcards: [
            getattr(source, key) for source in self.config.projections[wildcards.name].sources
        ]

    def new_cells_model(self, wildcards: Wildcards) -> str:
        """The model that new cells are judged by: of a run of this config, or any other."""
        projection = self.config.projections[wildcards.name]
        if projection.run is None:
            return projection.model
        return self.last_model(*projection.run)

    def plot(self, *keys: str) -> Any:
        """One key of ``plots``, or several by name."""
        values = {key: self.config.plots[key] for key in keys}
        return values if len(keys) > 1 else values[keys[0]]

    def final_model(self, wildcards: Wildcards) -> str:
        """The model of a run's last layer."""
        return self.last_model(wildcards.sample, wildcards.run)

    def last_model(self, sample: str, run: str) -> str:
        """The same, by names."""
        return f"results/{sample}/{run}/layer{self.layers(sample, run)}.h5nnmf"

    def layers(self, sample: str, run: str) -> int:
        """How many layers a run has, as soon as that is known."""
        keys = self.config.runs[run]
        if keys["search"] is None:
            return len(keys["layers"])
        return len(json.loads(Path(self.chosen(sample, run)).read_text(encoding="utf-8"))["layers"])

    def chosen_targets(self, wildcards: Wildcards) -> list[str]:
        """What `targets` leaves out: the files of runs whose layers are chosen by the data."""
        files = []
        for sample in self.config.samples:
            for run in searched(self.config):
                files += of_run(self.config, sample, run, self.layers(sample, run))
        return files

    def choice(self, wildcards: Wildcards) -> list[str]:
        """The layers that were chosen for a run; none where the config names them."""
        if self.config.runs[wildcards.run]["search"] is None:
            return []
        return [chosen_file(wildcards.sample, wildcards.run)]

    def sizes(self, wildcards: Wildcards) -> list[str]:
        """The table of the sizes that were tried for a run; none where the config names them."""
        if self.config.runs[wildcards.run]["search"] is None:
            return []
        return [f"results/{wildcards.sample}/{wildcards.run}/sizes.tsv"]

    def tried(self, wildcards: Wildcards) -> list[str]:
        """The table of every size of the first layer that is tried for a run."""
        folder = f"results/{wildcards.sample}/{wildcards.run}/sizes"
        return [f"{folder}/{size}.tsv" for size in self.config.runs[wildcards.run]["search"].sizes]

    def lists(self, wildcards: Wildcards) -> list[list[int]] | None:
        """The models to choose among, None for any."""
        return self.config.runs[wildcards.run]["search"].lists

    def trial(self, wildcards: Wildcards) -> dict[str, Any]:
        """The options of a trial: those of the fit, whatever its size."""
        options = self.layer(1)(wildcards) | {"joint": self.config.runs[wildcards.run]["joint"]}
        return dict(sorted({**options, "rank": 1}.items()))

    def layer(self, number: int) -> Callable[[Wildcards], dict[str, Any]]:
        """The options of one layer's fit that shape its result, for ``LayerOptions``.

        Nothing of later layers is among them, so that one more layer leaves the earlier ones alone.
        """

        def options(wildcards: Wildcards) -> dict[str, Any]:
            run = {**self.config.runs[wildcards.run], "labels": self.labels(wildcards)}
            chosen = {key: run[key] for key in SHARED}
            chosen |= {key: run[key][number - 1] for key in PER_LAYER if key not in WHERE}
            # Where the layers are chosen by the data, the size is read from what was chosen.
            chosen |= {"rank": run["layers"][number - 1] if run["search"] is None else 1}
            chosen |= self.normalization(wildcards)
            chosen |= self.batches(wildcards)
            chosen |= {"consensus": self.config.consensus(wildcards.sample, wildcards.run)}
            if run["beta"] == "pmf":
                chosen |= {key: run[key] for key in PRIOR}
            if run["guide"] > 0:
                chosen |= {key: run[key] for key in GUIDE}
            if number > 1:
                chosen |= {"joint": run["joint"]}
            return dict(sorted(chosen.items()))

        return options

    def where(self, number: int) -> Callable[..., dict[str, Any]]:
        """The options of one layer's fit that say where it runs and in how much memory.

        They change the result by rounding only, so they are no reason to fit again: Snakemake
        leaves out params that are functions of ``input`` when it looks for changes.
        """

        def options(wildcards: Wildcards, input: Any) -> dict[str, Any]:
            run = self.config.runs[wildcards.run]
            of_layer = {key: run[key][number - 1] for key in ("device", "shards")}
            return {**of_layer, "data_mem_size": run["data_mem_size"]}

        return options

    def checkpoint_minutes(self, wildcards: Wildcards, input: Any) -> float:
        """How often the state of a run's fits is kept; changes no result, so as in `where`."""
        minutes: float = self.config.runs[wildcards.run]["checkpoint_minutes"]
        return minutes

    def environment(self, number: int) -> Callable[[Wildcards], str]:
        """The conda environment of one layer's fit, as seen from ``workflow/rules``."""

        def file(wildcards: Wildcards) -> str:
            device = self.config.runs[wildcards.run]["device"][number - 1]
            return f"../../envs/{'gpu' if uses_gpu(device) else 'library'}.yaml"

        return file

    def batches(self, wildcards: Wildcards) -> dict[str, str]:
        """``batch``, and the ``condition`` that its factors leave alone; nothing without."""
        sample = self.config.samples[wildcards.sample]
        columns = {} if sample.batch is None else {"batch": sample.batch}
        if sample.batch is not None and sample.condition is not None:
            columns["condition"] = sample.condition
        return columns

    def groups(self, wildcards: Wildcards) -> dict[str, str]:
        """The columns of ``obs`` that say where cells are from, by their keys."""
        sample = self.config.samples[wildcards.sample]
        columns = {"batch": sample.batch, "condition": sample.condition, "donor": sample.donor}
        return {key: column for key, column in columns.items() if column is not None}

    def grouped(self, wildcards: Wildcards) -> dict[str, str]:
        """The same, with the column of the input's name where the inputs are the batches."""
        return {
            key: "dataset" if column == INPUT else column
            for key, column in self.groups(wildcards).items()
        }

    def normalization(self, wildcards: Wildcards) -> dict[str, Any]:
        """``normalize``, ``transform`` and ``gene_power``, with what ``auto`` means for each.

        ``normalize``: raw counts for simulated samples and Poisson models, otherwise that of real
        cells. The other two follow from it: nothing for raw counts, what suits real cells where
        library sizes are taken out.
        """
        run = self.config.runs[wildcards.run]
        simulated = self.config.samples[wildcards.sample].simulate is not None
        usual = RAW_COUNTS if simulated or run["loss"] in POISSON else REAL_CELLS
        chosen: dict[str, Any] = dict(usual)
        if run["normalize"] != "auto":
            chosen = dict(RAW_COUNTS if run["normalize"] == "counts" else REAL_CELLS)
            chosen["normalize"] = run["normalize"]
            if run["normalize"] == "variance":
                chosen["gene_power"] = None  # its own: all of it
        given = {key: run[key] for key in ("transform", "gene_power") if run[key] != "auto"}
        return chosen | given
