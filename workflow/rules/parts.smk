# A data set in several files (`dataset: parts`): the steps of create_dataset, each of which sees some of the
# cells, or sums over cells. The same data set comes of it, but the counts lie in `results/{sample}/dataset/`.


rule count_part:
    """count the cells and genes of a part of the inputs"""
    input:
        counts=PARTS.counts,
        beside=PLAN.beside_part,
    output:
        "results/{sample}/dataset/counted-{part}.state",
    log:
        "logs/{sample}/dataset/count_part_{part}.log",
    benchmark:
        "logs/{sample}/dataset/count_part_{part}.benchmark.tsv"
    wildcard_constraints:
        sample=one_of(in_parts(CONFIG)),
        part=r"[1-9]\d*",
    conda:
        "../../envs/library.yaml"
    resources:
        mem_mb=NEEDS.part_mem_mb,
        runtime=NEEDS.part_runtime,
    params:
        names=PARTS.names,
        layers=PARTS.layers,
        ranges=PARTS.ranges,
        options=PARTS.counting,
        version=VERSION,
    script:
        "../scripts/count_part.py"


rule filter_genes:
    """join the genes of all inputs, and filter them"""
    input:
        counted=PARTS.files("counted-{part}.state"),
        lists=PARTS.gene_lists,
    output:
        "results/{sample}/dataset/filtered.state",
    log:
        "logs/{sample}/dataset/filter_genes.log",
    benchmark:
        "logs/{sample}/dataset/filter_genes.benchmark.tsv"
    wildcard_constraints:
        sample=one_of(in_parts(CONFIG)),
    conda:
        "../../envs/library.yaml"
    resources:
        mem_mb=mem_mb,
        runtime=runtime,
    params:
        options=PLAN.dataset,
        version=VERSION,
    script:
        "../scripts/filter_genes.py"


rule score_part:
    """read a part again, for the variable genes"""
    input:
        counts=PARTS.counts,
        beside=PLAN.beside_part,
        counted="results/{sample}/dataset/counted-{part}.state",
        filtered="results/{sample}/dataset/filtered.state",
    output:
        "results/{sample}/dataset/scored-{part}.state",
    log:
        "logs/{sample}/dataset/score_part_{part}.log",
    benchmark:
        "logs/{sample}/dataset/score_part_{part}.benchmark.tsv"
    wildcard_constraints:
        sample=one_of(in_parts(CONFIG)),
        part=r"[1-9]\d*",
    conda:
        "../../envs/library.yaml"
    resources:
        mem_mb=NEEDS.part_mem_mb,
        runtime=NEEDS.part_runtime,
    params:
        names=PARTS.names,
        layers=PARTS.layers,
        ranges=PARTS.ranges,
        version=VERSION,
    script:
        "../scripts/score_part.py"


rule choose_genes:
    """choose the genes by what was seen in all parts"""
    input:
        filtered="results/{sample}/dataset/filtered.state",
        scored=PARTS.scored,
    output:
        chosen="results/{sample}/dataset/chosen.state",
        genes=shown("results/{sample}/genes.tsv"),
    log:
        "logs/{sample}/dataset/choose_genes.log",
    benchmark:
        "logs/{sample}/dataset/choose_genes.benchmark.tsv"
    wildcard_constraints:
        sample=one_of(in_parts(CONFIG)),
    conda:
        "../../envs/library.yaml"
    resources:
        mem_mb=mem_mb,
        runtime=runtime,
    params:
        version=VERSION,
    script:
        "../scripts/choose_genes.py"


rule write_part:
    """write the cells of a part with the chosen genes"""
    input:
        counts=PARTS.counts,
        beside=PLAN.beside_part,
        counted="results/{sample}/dataset/counted-{part}.state",
        chosen="results/{sample}/dataset/chosen.state",
    output:
        ensure("results/{sample}/dataset/part-{part}.h5ad", non_empty=True),
    log:
        "logs/{sample}/dataset/write_part_{part}.log",
    benchmark:
        "logs/{sample}/dataset/write_part_{part}.benchmark.tsv"
    wildcard_constraints:
        sample=one_of(in_parts(CONFIG)),
        part=r"[1-9]\d*",
    conda:
        "../../envs/library.yaml"
    resources:
        mem_mb=NEEDS.part_mem_mb,
        runtime=NEEDS.part_runtime,
    params:
        names=PARTS.names,
        layers=PARTS.layers,
        ranges=PARTS.ranges,
        version=VERSION,
    script:
        "../scripts/write_part.py"


rule join_dataset:
    """put the parts together to one data set"""
    input:
        chosen="results/{sample}/dataset/chosen.state",
        parts=PLAN.dataset_parts,
    output:
        ensure("results/{sample}/dataset.h5ad", non_empty=True),
    log:
        "logs/{sample}/dataset/join_dataset.log",
    benchmark:
        "logs/{sample}/dataset/join_dataset.benchmark.tsv"
    wildcard_constraints:
        sample=one_of(in_parts(CONFIG)),
    conda:
        "../../envs/library.yaml"
    resources:
        mem_mb=mem_mb,
        runtime=runtime,
    params:
        version=VERSION,
    script:
        "../scripts/join_dataset.py"
