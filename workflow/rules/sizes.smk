# Runs whose layers are chosen by the data: sizes of the first layer are tried, a job each; then the
# layers are chosen, which further sizes are tried for.


rule try_size:
    """try one size of the first layer"""
    input:
        dataset="results/{sample}/dataset.h5ad",
        parts=PLAN.dataset_parts,
    output:
        "results/{sample}/{run}/sizes/{size}.tsv",
    log:
        "logs/{sample}/{run}/sizes/{size}.log",
    benchmark:
        "logs/{sample}/{run}/sizes/{size}.benchmark.tsv"
    wildcard_constraints:
        run=one_of(searched(CONFIG)),
        size=r"\d+",
    conda:
        PLAN.environment(1)
    # Sizes side by side fill the cores better than one fit on all of them.
    threads: NEEDS.trial_threads(workflow)
    resources:
        mem_mb=NEEDS.fit_mem_mb(1),
        runtime=NEEDS.sizes_runtime,
        gpu=NEEDS.gpu(1),
        tasks=NEEDS.tasks(1),
        tasks_per_gpu=1,
    params:
        options=PLAN.trial,
        where=PLAN.where(1),
        version=VERSION,
    script:
        "../scripts/try_size.py"


checkpoint choose_layers:
    """choose the layers by the sizes that were tried"""
    input:
        dataset="results/{sample}/dataset.h5ad",
        parts=PLAN.dataset_parts,
        tried=PLAN.tried,
    output:
        layers="results/{sample}/{run}/layers.json",
        table=shown("results/{sample}/{run}/sizes.tsv"),
    log:
        "logs/{sample}/{run}/choose_layers.log",
    benchmark:
        "logs/{sample}/{run}/choose_layers.benchmark.tsv"
    wildcard_constraints:
        run=one_of(searched(CONFIG)),
    conda:
        PLAN.environment(1)
    threads: MAX_THREADS
    resources:
        mem_mb=NEEDS.fit_mem_mb(1),
        runtime=NEEDS.sizes_runtime,
        gpu=NEEDS.gpu(1),
        tasks=NEEDS.tasks(1),
        tasks_per_gpu=1,
    params:
        options=PLAN.trial,
        where=PLAN.where(1),
        lists=PLAN.lists,
        version=VERSION,
    script:
        "../scripts/choose_layers.py"


rule plot_sizes:
    """a picture of the sizes that were tried"""
    input:
        "results/{sample}/{run}/sizes.tsv",
    output:
        shown("results/{sample}/{run}/sizes.png"),
        "results/{sample}/{run}/sizes.pdf",
    log:
        "logs/{sample}/{run}/plot_sizes.log",
    benchmark:
        "logs/{sample}/{run}/plot_sizes.benchmark.tsv"
    wildcard_constraints:
        run=one_of(searched(CONFIG)),
    conda:
        "../../envs/plots.yaml"
    resources:
        mem_mb=mem_mb,
        runtime=runtime,
    params:
        version=VERSION,
    script:
        "../scripts/plot_sizes.py"
