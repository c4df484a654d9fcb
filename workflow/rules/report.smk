# One page a run for people to read and to mail; `make report` asks for those of all samples and runs.


rule write_report:
    """the page of a run for people: programs, cells and evidence in one HTML file"""
    input:
        model=PLAN.final_model,
        dataset="results/{sample}/dataset.h5ad",
        parts=PLAN.dataset_parts,
        genes="results/{sample}/genes.tsv",
        tables=PLAN.run_tables,
        sizes=PLAN.sizes,
        umap=PLAN.places,
    output:
        shown("results/{sample}/{run}/report.html"),
    log:
        "logs/{sample}/{run}/write_report.log",
    benchmark:
        "logs/{sample}/{run}/write_report.benchmark.tsv"
    conda:
        "../../envs/plots.yaml"
    resources:
        mem_mb=mem_mb,
        runtime=runtime,
    params:
        labels=PLAN.all_labels,
        groups=PLAN.grouped,
        version=VERSION,
    script:
        "../scripts/write_report.py"


rule reports:
    """the pages of all samples and runs"""
    input:
        reports(CONFIG),
