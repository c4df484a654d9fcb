"""A config as text, with what was found in the file beside each key."""

import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import yaml
from neuralNMF.options import TAKEN, VARIABLE_GENES
from neuralNMF.survey.columns import Column, Columns
from neuralNMF.survey.counts import Survey

from nmf_workflow.new.settings import FEWEST_CELLS, STREAMED, USUAL_LAYERS, needs_of, settings
from nmf_workflow.resources import SECONDS_OF_A_JOB, USUAL_EPOCHS


def text_of(survey: Survey, path: str, name: str, file: str) -> str:
    """The whole config, with what was found as comments.

    Parameters
    ----------
    survey
        Of the file.
    path, name
        As the config is to call the file and the sample.
    file
        The config's own name, for the command in its first lines.

    Raises
    ------
    ConfigError
        The path or the name cannot stand in a config.
    """
    keys = settings(survey, path, name)
    need = needs_of(survey, keys, name)
    free = psutil.virtual_memory().available / 1e9
    if need.memory > free:
        keys["data_mem_size"] = STREAMED
        need = needs_of(survey, keys, name)
    sample = keys["samples"][name]
    lines = [
        *comment(about(survey)),
        "# Written by `make new` after a look into the file. Check it, then",
        f"#     {command(file)}",
        "# All keys, ranges and defaults: docs/config.md.",
        "",
        "samples:",
        f"  {scalar(name)}:",
        *comment(where_the_counts_are(survey), "    "),
        f"    input: {scalar(sample['input'])}",
        *columns_of_cells(survey, sample),
        "",
        "dataset:",
        *comment("The most variable genes; 1,000 to 5,000 are usual, null keeps all.", "  "),
        f"  variable_genes: {keys['dataset']['variable_genes']}",
    ]
    if least := keys["dataset"].get("min_cells"):
        lines += [f"  min_cells: {least}  # genes that fewer cells express are dropped"]
    lines += [*genes_to_leave_out(survey), "", *layers_of(survey, keys), ""]
    lines += comment(
        f"The largest job asks for {need.memory:.1f} GB of memory; {free:.0f} GB are free on this "
        f"machine. All fits together take about {duration(need.usual)} of one core: "
        f"{SECONDS_OF_A_JOB} s for each job to start, and {USUAL_EPOCHS} epochs a fit, in which "
        f"most have stopped by themselves, over {survey.nonzeros(VARIABLE_GENES):,} counts. It "
        f"would be {duration(need.most)} if none stopped."
    )
    if "data_mem_size" in keys:
        lines += comment("All cells would not fit: so many are held at a time, the others read.")
        lines += [f"data_mem_size: {STREAMED}"]
    lines += [
        "",
        *comment(
            "Sets of genes to name the programs by, in GMT files (docs/programs_to_believe.md):"
        ),
        "# gene_sets: my.gmt",
        "",
        "# The same seed gives the same result.",
        f"seed: {keys['seed']}",
    ]
    return "\n".join(lines) + "\n"


def about(survey: Survey) -> str:
    """The file in a sentence."""
    ids = "ids of Ensembl or alike" if survey.ids else "no ids but symbols"
    species = survey.species or "not told by their names"
    return (
        f"{survey.path.name}: {survey.cells:,} cells x {survey.genes:,} genes (species: {species}; "
        f"{ids}); the median cell has {survey.median_counts:,} counts of {survey.genes_a_cell:,} "
        "genes."
    )


def where_the_counts_are(survey: Survey) -> str:
    """Which matrix holds raw counts, and what is in the others."""
    doubt = (
        " But all cells have nearly the same total: if these are normalised values that were "
        "rounded, give the raw counts instead."
    )
    end = doubt if survey.equal_totals else ""
    if not survey.places:
        return f"It holds raw counts.{end}"
    used = survey.layer or survey.places[0].layer
    others = [
        f"{place.layer} has {place.fault} values"
        if place.fault
        else f"{place.layer} has counts too"
        for place in survey.places
        if place.layer != used
    ]
    return "; ".join([f"{used} holds raw counts", *others]) + f".{end}"


def columns_of_cells(survey: Survey, sample: Mapping[str, Any]) -> list[str]:
    """Labels as keys; where cells are from as keys to uncomment, the rest as comments."""
    columns = survey.columns
    lines = []
    for key, why in (
        ("labels", "It colours the cells, and programs are compared with it; no fit sees it."),
        ("coarse_labels", "The same, coarser."),
    ):
        if key in sample:
            column = next(each for each in columns.labels if each.name == sample[key])
            lines += comment(f"{described(column)}. {why}", "    ")
            lines += [f"    {key}: {scalar(column.name)}"]
    rest = [each for each in columns.labels if each.name not in sample.values()]
    if not columns.labels:
        lines += comment("No column looks like labels; to name one: labels: celltype", "    ")
    for title, found in (("Other labels", rest), ("Other columns", columns.others)):
        if found:
            lines += comment(f"{title}: {'; '.join(map(described, found))}.", "    ")
    return lines + origins_of_cells(columns)


def origins_of_cells(columns: Columns) -> list[str]:
    """Keys for batches, conditions and donors, to be uncommented by those who want them."""
    donor = columns.donor
    batches = [each for each in columns.batches if each != donor] or list(columns.batches)
    lines = []
    for key, why, found in (
        ("condition", "Whose effect is looked for: programs are tested for it", columns.conditions),
        ("donor", "Conditions are compared a donor at a time", [donor] if donor else []),
        ("batch", "A factor for each batch and gene is taken out", batches),
    ):
        if found:
            first, *others = found
            also = f" Or {'; '.join(map(described, others))}." if others else ""
            lines += comment(f"{why}; {described(first)}.{also}", "    ")
            lines += [f"    # {key}: {scalar(in_dataset(first.name))}"]
    if lines:
        told = (
            'Where the cells are from; to use a key, remove the "# " before it (docs/batches.md).'
        )
        lines = [*comment(told, "    "), *lines]
    return lines


def in_dataset(column: str) -> str:
    """What the data set calls a column of the user's: names of its own are taken."""
    return f"input_{column}" if column in TAKEN else column


def described(column: Column) -> str:
    """A column in some words."""
    shown = ", ".join(column.examples) + (", ..." if column.levels > len(column.examples) else "")
    missing = f", {column.unlabelled:,} cells without" if column.unlabelled else ""
    return f"{column.name}: {column.levels} values ({shown}){missing}"


def genes_to_leave_out(survey: Survey) -> list[str]:
    """How much of the counts is of genes that people leave out, and how to."""
    shares = [f"{name} {share:.0%}" for name, share in survey.class_shares.items() if share > 0]
    told = "To leave genes out, by class or name:"
    if shares:
        told = f"Of the counts: {', '.join(shares)}. {told}"
    classes = ", ".join([*survey.class_shares, "MALAT1"])
    return [*comment(told, "  "), f"  # exclude: [{classes}]"]


def layers_of(survey: Survey, keys: Mapping[str, Any]) -> list[str]:
    """The layers and why, and what else they could be."""
    usual = ", ".join(map(str, USUAL_LAYERS))
    if survey.cells < FEWEST_CELLS:
        told = f"{survey.cells} cells are too few to find out how many programs they have: a guess."
        return [*comment(told), f"layers: {keys['layers']}"]
    if keys["layers"] == "auto":
        told = (
            "The data choose the layers, the first one among these sizes "
            f"(docs/choosing_sizes.md). To choose yourself, and sooner: layers: [{usual}]"
        )
        return [*comment(told), "layers: auto", f"sizes: {keys['sizes']}"]
    told = (
        "Fine programs, then the coarser ones that they make up. `layers: auto` lets the data "
        "choose, in several times the time."
    )
    return [*comment(told), f"layers: [{usual}]"]


def command(config: str | Path) -> str:
    """What runs a config, whatever its path has in it."""
    return f'make run ARGS="--configfile {shlex.quote(str(config))}"'


def comment(text: str, indent: str = "", width: int = 100) -> list[str]:
    """Text as lines of comments; what is in the user's file may break no line."""
    words = "".join(sign if sign.isprintable() else "?" for sign in text).split(" ")
    lines = [f"{indent}#"]
    for word in words:
        if len(lines[-1]) + 1 + len(word) > width and not lines[-1].endswith("#"):
            lines.append(f"{indent}#")
        lines[-1] += f" {word}"
    return lines


def scalar(value: Any) -> str:
    """A value as it stands behind a key of YAML, on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {scalar(entry)}" for key, entry in value.items()) + "}"
    plain = re.fullmatch(r"[\w./][\w./+-]*( [\w./+-]+)*", value) is not None
    return value if plain and yaml.safe_load(value) == value else json.dumps(value)


def duration(minutes: float) -> str:
    """Minutes in words."""
    if minutes < 90:
        return f"{max(1, round(minutes))} min"
    return f"{minutes / 60:.0f} h" if minutes < 48 * 60 else f"{minutes / 60 / 24:.0f} days"
