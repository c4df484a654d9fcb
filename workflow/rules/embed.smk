# The cells of a run's last layer, for cellxgene and scanpy: what they are, where they lie, their colours.


rule embed:
    """the cells in the plane by their usage, and a file for cellxgene and scanpy"""
    input:
        model=PLAN.final_model,
        dataset="results/{sample}/dataset.h5ad",
        parts=PLAN.dataset_parts,
    output:
        explore="results/{sample}/{run}/explore.h5ad",
        table="results/{sample}/{run}/umap.tsv",
    log:
        "logs/{sample}/{run}/embed.log",
    benchmark:
        "logs/{sample}/{run}/embed.benchmark.tsv"
    conda:
        "../../envs/embed.yaml"
    resources:
        mem_mb=NEEDS.embedding_mem_mb,
        runtime=NEEDS.embedding_runtime,
    params:
        columns=PLAN.coloured,
        umap=PLAN.umap,
        seed=PLAN.seed,
        version=VERSION,
    script:
        "../scripts/embed.py"
