# Multi-layer NMF of single-cell counts: simulate or read, select genes, fit layer by layer, draw.
from snakemake.utils import min_version

min_version("9.20")


include: "workflow/rules/library.smk"


# A config that names samples stands for itself: the example's sample is not mixed in.
if "samples" not in config:

    configfile: str(FOLDER / "config.yaml")


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/parts.smk"
include: "workflow/rules/sizes.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/embed.smk"
include: "workflow/rules/plots.smk"
include: "workflow/rules/evidence.smk"
include: "workflow/rules/project.smk"
include: "workflow/rules/report.smk"


rule all:
    """everything that the config asks for"""
    input:
        targets(CONFIG),
        PLAN.chosen_targets,


onsuccess:
    logger.info(ending.of_success(workflow))


onerror:
    logger.error(ending.of_failure(workflow))
