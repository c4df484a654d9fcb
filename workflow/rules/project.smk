# New cells: their usage at every layer of a model, its programs held.


rule project:
    """usage of new cells, with the programs of a model held"""
    input:
        counts=PLAN.new_counts,
        parts=PLAN.new_parts,
        model=PLAN.new_cells_model,
    output:
        ensure(f"{PROJECTED}/{{name}}.h5ad", non_empty=True),
    log:
        "logs/projected/{name}.log",
    benchmark:
        "logs/projected/{name}.benchmark.tsv"
    wildcard_constraints:
        name=one_of(CONFIG.projections),
    conda:
        "../../envs/library.yaml"
    threads: MAX_THREADS
    resources:
        mem_mb=NEEDS.projection_mem_mb,
        runtime=runtime,
    params:
        names=PLAN.new_inputs("name"),
        layers=PLAN.new_inputs("layer"),
        version=VERSION,
    script:
        "../scripts/project.py"
