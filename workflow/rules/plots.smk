# Pictures and tables from the saved model of a run's last layer. A job draws several: to start Python
# takes longer than to draw. How many files a run has follows from its layers, so runs of other depths
# have rules of their own.

for drawn in picture_rules(CONFIG):

    rule:
        """pictures: usage by the cells, and how the layers are made up of each other"""
        name:
            f"plot_theta{drawn.suffix}"
        input:
            model=PLAN.final_model,
        output:
            theta=shown(drawn.files["theta"]),
            hierarchy=shown(drawn.files["hierarchy"]),
            violins=shown(drawn.files["violins"]),
            tree=shown(drawn.files["tree"]),
        log:
            f"logs/{{sample}}/{{run}}/plot_theta{drawn.suffix}.log",
        benchmark:
            f"logs/{{sample}}/{{run}}/plot_theta{drawn.suffix}.benchmark.tsv"
        wildcard_constraints:
            run=one_of(drawn.runs),
        conda:
            "../../envs/plots.yaml"
        resources:
            mem_mb=mem_mb,
            runtime=runtime,
        params:
            columns=PLAN.coloured,
            max_cells=PLAN.plot("max_cells"),
            first=drawn.first,
            version=VERSION,
        script:
            "../scripts/plot_theta.py"

    rule:
        """pictures, tables and gene sets of the genes that mark the programs; the loss"""
        name:
            f"plot_beta{drawn.suffix}"
        input:
            model=PLAN.final_model,
            dataset="results/{sample}/dataset.h5ad",
            parts=PLAN.dataset_parts,
        output:
            beta=shown(drawn.files["beta"]),
            dots=shown(drawn.files["dots"]),
            tables=shown(drawn.files["tables"]),
            gmt=drawn.files["gmt"],
            starcat=drawn.files["starcat"],
            loss=shown(drawn.files["loss"]),
        log:
            f"logs/{{sample}}/{{run}}/plot_beta{drawn.suffix}.log",
        benchmark:
            f"logs/{{sample}}/{{run}}/plot_beta{drawn.suffix}.benchmark.tsv"
        wildcard_constraints:
            run=one_of(drawn.runs),
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
            first=drawn.first,
            version=VERSION,
        script:
            "../scripts/plot_beta.py"

    rule:
        """pictures: the cells in the plane, by their labels, main programs and usage"""
        name:
            f"plot_umap{drawn.suffix}"
        input:
            explore="results/{sample}/{run}/explore.h5ad",
        output:
            umap=shown(drawn.files["umap"]),
        log:
            f"logs/{{sample}}/{{run}}/plot_umap{drawn.suffix}.log",
        benchmark:
            f"logs/{{sample}}/{{run}}/plot_umap{drawn.suffix}.benchmark.tsv"
        wildcard_constraints:
            run=one_of(drawn.runs),
        conda:
            "../../envs/plots.yaml"
        resources:
            mem_mb=mem_mb,
            runtime=runtime,
        params:
            columns=PLAN.coloured,
            first=drawn.first,
            version=VERSION,
        script:
            "../scripts/plot_umap.py"
