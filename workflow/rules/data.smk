# From nothing, or from the user's files, to one data set a sample.


rule simulate:
    """draw counts of known programs"""
    output:
        "data/{sample}.npz",
    log:
        "logs/{sample}/simulate.log",
    benchmark:
        "logs/{sample}/simulate.benchmark.tsv"
    wildcard_constraints:
        sample=one_of(simulated(CONFIG)),
    conda:
        "../../envs/library.yaml"
    resources:
        mem_mb=NEEDS.simulation_mem_mb,
        runtime=10,
    params:
        cells=PLAN.simulation("cells"),
        genes=PLAN.simulation("genes"),
        programs=PLAN.simulation("programs"),
        mode=PLAN.simulation("mode"),
        block_loadings=PLAN.simulation("block_loadings"),
        seed=PLAN.simulation("seed"),
        # Snakemake compares the set of values without their names: 60 cells x 80 genes would
        # look the same as 80 x 60.
        named=PLAN.simulation(),
        version=VERSION,
    script:
        "../scripts/simulate.py"


rule write_h5:
    """simulated counts as a file like CellRanger's"""
    input:
        "data/{sample}.npz",
    output:
        "data/{sample}.h5",
    log:
        "logs/{sample}/write_h5.log",
    benchmark:
        "logs/{sample}/write_h5.benchmark.tsv"
    wildcard_constraints:
        sample=one_of(simulated(CONFIG)),
    conda:
        "../../envs/library.yaml"
    resources:
        mem_mb=NEEDS.simulation_mem_mb,
        runtime=10,
    params:
        version=VERSION,
    script:
        "../scripts/write_h5.py"


rule create_dataset:
    """counts files into one data set of the cells and genes that are used"""
    input:
        counts=PLAN.counts,
        parts=PLAN.parts,
    output:
        dataset=ensure("results/{sample}/dataset.h5ad", non_empty=True),
        genes=shown("results/{sample}/genes.tsv"),
    log:
        "logs/{sample}/create_dataset.log",
    benchmark:
        "logs/{sample}/create_dataset.benchmark.tsv"
    wildcard_constraints:
        sample=one_of(in_one(CONFIG)),
    conda:
        "../../envs/library.yaml"
    resources:
        mem_mb=mem_mb,
        runtime=runtime,
    params:
        names=PLAN.names,
        layers=PLAN.input_layers,
        options=PLAN.dataset,
        version=VERSION,
    script:
        "../scripts/create_dataset.py"


# Apart from create_dataset, and no input of the fits, so that other labels draw other pictures but do
# not fit again. First all the same: a missing column should not show after hours. (An ancient() input
# of the fits would do that better, but hides their own reasons to run, such as changed params.)
rule count_cells:
    """how many cells each input and label has"""
    input:
        dataset="results/{sample}/dataset.h5ad",
        parts=PLAN.dataset_parts,
    output:
        shown("results/{sample}/cells.tsv"),
    log:
        "logs/{sample}/count_cells.log",
    benchmark:
        "logs/{sample}/count_cells.benchmark.tsv"
    priority: 100
    conda:
        "../../envs/plots.yaml"
    resources:
        mem_mb=mem_mb,
        runtime=runtime,
    params:
        labels=PLAN.counted,
    script:
        "../scripts/count_cells.py"
