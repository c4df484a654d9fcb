"""Samples whose data set lies in several files: which inputs each part reads, and its files."""

from typing import Any

from neuralNMF.options import GENE_LISTS

from nmf_workflow.config import Config
from nmf_workflow.samples import Sample

Wildcards = Any


def in_parts(config: Config) -> list[str]:
    """Names of the samples whose data set lies in several files."""
    return [name for name, sample in config.samples.items() if sample.dataset["parts"] > 1]


def in_one(config: Config) -> list[str]:
    """Names of the samples whose data set is one file."""
    return [name for name in config.samples if name not in in_parts(config)]


def pieces(inputs: int, parts: int) -> list[list[tuple[int, int, int]]]:
    """What each part reads: numbers of inputs, and which of how many ranges of their cells.

    Whole inputs that follow each other, where there are enough; else each input is cut into
    ranges of its cells. So no part depends on how many cells an input has.
    """
    if parts <= inputs:
        ends = [part * inputs // parts for part in range(parts + 1)]
        return [
            [(number, 0, 1) for number in range(first, past)]
            for first, past in zip(ends[:-1], ends[1:], strict=True)
        ]
    ends = [number * parts // inputs for number in range(inputs + 1)]
    return [
        [(number, part, ends[number + 1] - ends[number])]
        for number in range(inputs)
        for part in range(ends[number + 1] - ends[number])
    ]


def part_numbers(sample: Sample) -> list[int]:
    """The numbers of the parts of a sample, from 1 on."""
    return list(range(1, sample.dataset["parts"] + 1))


def part_files(sample: Sample, name: str) -> list[str]:
    """A file of each part: `name` is ``part-{part}.h5ad``, for example."""
    folder = f"results/{sample.name}/dataset"
    return [f"{folder}/{name.format(part=number)}" for number in part_numbers(sample)]


def gene_list_files(sample: Sample) -> list[str]:
    """The files of a sample's lists of genes."""
    lists = [sample.dataset[key] for key in GENE_LISTS]
    return [entry for entry in lists if isinstance(entry, str)]


class PartPlan:
    """What the rules of parts get: each method is an input or params function of Snakemake's."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def sample(self, wildcards: Wildcards) -> Sample:
        """The sample that the wildcards name."""
        sample: Sample = self.config.samples[wildcards.sample]
        return sample

    def own(self, wildcards: Wildcards) -> list[tuple[int, int, int]]:
        """What the part that the wildcards name reads."""
        sample = self.sample(wildcards)
        return pieces(len(sample.sources), sample.dataset["parts"])[int(wildcards.part) - 1]

    def counts(self, wildcards: Wildcards) -> list[str]:
        """The count files or folders of a part."""
        sources = self.sample(wildcards).sources
        return [sources[number].path for number, _, _ in self.own(wildcards)]

    def names(self, wildcards: Wildcards) -> list[str]:
        """Name of each of its inputs."""
        sources = self.sample(wildcards).sources
        return [sources[number].name for number, _, _ in self.own(wildcards)]

    def layers(self, wildcards: Wildcards) -> list[str | None]:
        """The layer of each of its inputs that holds the counts, None for ``X``."""
        sources = self.sample(wildcards).sources
        return [sources[number].layer for number, _, _ in self.own(wildcards)]

    def ranges(self, wildcards: Wildcards) -> list[list[int]]:
        """Which of how many ranges of each of its inputs it reads."""
        return [[part, of] for _, part, of in self.own(wildcards)]

    def share(self, wildcards: Wildcards) -> float:
        """How much of its inputs a part reads."""
        return 1 / self.own(wildcards)[0][2]

    def counting(self, wildcards: Wildcards) -> dict[str, Any]:
        """The options that decide what is counted."""
        sample = self.sample(wildcards)
        return {"min_counts": sample.dataset["min_counts"], "batch": sample.batch}

    def gene_lists(self, wildcards: Wildcards) -> list[str]:
        """Files with lists of genes."""
        return gene_list_files(self.sample(wildcards))

    def files(self, name: str) -> Any:
        """A file of each part of a sample."""
        return lambda wildcards: part_files(self.sample(wildcards), name)

    def scored(self, wildcards: Wildcards) -> list[str]:
        """What was seen of the variable genes in each part; nothing where none are asked for."""
        sample = self.sample(wildcards)
        none = sample.dataset["variable_genes"] is None
        return [] if none else part_files(sample, "scored-{part}.state")
