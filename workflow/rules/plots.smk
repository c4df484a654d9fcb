# Pictures and tables from the saved model of a run's last layer. A job draws several: to start Python
# takes longer than to draw. How many files a run has follows from its layers, so runs of other depths
# have rules of their own.

for suffix, names, files in picture_rules(CONFIG):

    # How the cells use the programs, and how the layers are made up of each other.
    rule:
        name:
            f"plot_theta{suffix}"
        input:
            model=PLAN.final_model,
        output:
            theta=files["theta"],
            hierarchy=files["hierarchy"],
        log:
            "logs/{sample}/{run}/plot_theta.log",
        benchmark:
            "logs/{sample}/{run}/plot_theta.benchmark.tsv"
        wildcard_constraints:
            run=one_of(names),
        conda:
            "../../envs/plots.yaml"
        resources:
            mem_mb=mem_mb,
            runtime=runtime,
        params:
            labels=PLAN.labels,
            max_cells=PLAN.plot("max_cells"),
            version=VERSION,
        script:
            "../scripts/plot_theta.py"

    # Genes that mark the programs, as pictures, tables and for other tools; and the training's loss.
    rule:
        name:
            f"plot_beta{suffix}"
        input:
            model=PLAN.final_model,
        output:
            beta=files["beta"],
            tables=files["tables"],
            gmt=files["gmt"],
            starcat=files["starcat"],
            loss=files["loss"],
        log:
            "logs/{sample}/{run}/plot_beta.log",
        benchmark:
            "logs/{sample}/{run}/plot_beta.benchmark.tsv"
        wildcard_constraints:
            run=one_of(names),
        conda:
            "../../envs/plots.yaml"
        resources:
            mem_mb=mem_mb,
            runtime=runtime,
        params:
            top_n=PLAN.plot("top_n"),
            max_thresh=PLAN.plot("max_thresh"),
            # As in `simulate`: names and values together.
            named=PLAN.plot("top_n", "max_thresh"),
            version=VERSION,
        script:
            "../scripts/plot_beta.py"
