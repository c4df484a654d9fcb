# Which programs to believe: one table a run, and what else there is to judge them by. Which tables a
# sample has follows from its labels, its truth and its gene sets, so samples that have others have rules of
# their own.

for suffix, samples, files in evidence_rules(CONFIG):

    rule:
        """tables: which programs to believe, and how well the layers agree with labels"""
        name:
            f"judge_programs{suffix}"
        input:
            model=PLAN.final_model,
            gene_sets=PLAN.gene_sets,
            truth=PLAN.truth,
        output:
            **shown(files),
        log:
            "logs/{sample}/{run}/judge_programs.log",
        benchmark:
            "logs/{sample}/{run}/judge_programs.benchmark.tsv"
        wildcard_constraints:
            sample=one_of(samples),
        conda:
            "../../envs/plots.yaml"
        resources:
            mem_mb=mem_mb,
            runtime=runtime,
        params:
            labels=PLAN.all_labels,
            groups=PLAN.groups,
            version=VERSION,
        script:
            "../scripts/judge_programs.py"
