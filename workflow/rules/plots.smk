# Pictures and tables from the saved model of a run's last layer.


rule plot_theta:
    input:
        model=PLAN.final_model,
    output:
        png="results/{sample}/{run}/theta_l{layer}.png",
        pdf="results/{sample}/{run}/theta_l{layer}.pdf",
    log:
        "logs/{sample}/{run}/plot_theta_l{layer}.log",
    benchmark:
        "logs/{sample}/{run}/plot_theta_l{layer}.benchmark.tsv"
    conda:
        "../../envs/plots.yaml"
    resources:
        mem_mb=mem_mb,
        runtime=runtime,
    params:
        labels=PLAN.labels,
        max_cells=PLAN.plot("max_cells"),
    script:
        "../scripts/plot_theta.py"


rule plot_hierarchy:
    input:
        model=PLAN.final_model,
    output:
        png="results/{sample}/{run}/hierarchy_l{layer}.png",
        pdf="results/{sample}/{run}/hierarchy_l{layer}.pdf",
    log:
        "logs/{sample}/{run}/plot_hierarchy_l{layer}.log",
    benchmark:
        "logs/{sample}/{run}/plot_hierarchy_l{layer}.benchmark.tsv"
    conda:
        "../../envs/plots.yaml"
    resources:
        mem_mb=mem_mb,
        runtime=runtime,
    script:
        "../scripts/plot_hierarchy.py"


rule plot_beta:
    input:
        model=PLAN.final_model,
    output:
        png="results/{sample}/{run}/beta_l{layer}_top.png",
        pdf="results/{sample}/{run}/beta_l{layer}_top.pdf",
        table="results/{sample}/{run}/programs_l{layer}.tsv",
    log:
        "logs/{sample}/{run}/plot_beta_l{layer}.log",
    benchmark:
        "logs/{sample}/{run}/plot_beta_l{layer}.benchmark.tsv"
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
    script:
        "../scripts/plot_beta.py"


rule plot_loss:
    input:
        model=PLAN.final_model,
    output:
        png="results/{sample}/{run}/loss.png",
        pdf="results/{sample}/{run}/loss.pdf",
    log:
        "logs/{sample}/{run}/plot_loss.log",
    benchmark:
        "logs/{sample}/{run}/plot_loss.benchmark.tsv"
    conda:
        "../../envs/plots.yaml"
    resources:
        mem_mb=mem_mb,
        runtime=runtime,
    script:
        "../scripts/plot_loss.py"
