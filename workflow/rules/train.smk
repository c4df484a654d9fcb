# One rule a layer, so that a profile can give one layer a GPU, memory or threads of its own.

for number in range(1, depth(CONFIG) + 1):

    rule:
        """fit one more layer of programs"""
        name:
            f"train_layer{number}"
        input:
            dataset="results/{sample}/dataset.h5ad",
            parts=PLAN.dataset_parts,
            choice=PLAN.choice,
            # None for the first layer.
            previous=[f"results/{{sample}}/{{run}}/layer{number - 1}.h5nnmf"][: number - 1],
        output:
            ensure(f"results/{{sample}}/{{run}}/layer{number}.h5nnmf", non_empty=True),
        log:
            f"logs/{{sample}}/{{run}}/train_layer{number}.log",
        benchmark:
            f"logs/{{sample}}/{{run}}/train_layer{number}.benchmark.tsv"
        conda:
            PLAN.environment(number)
        threads: MAX_THREADS
        resources:
            mem_mb=NEEDS.fit_mem_mb(number),
            runtime=NEEDS.fit_runtime(number),
            gpu=NEEDS.gpu(number),
            tasks=NEEDS.tasks(number),
            tasks_per_gpu=1,
        params:
            options=PLAN.layer(number),
            where=PLAN.where(number),
            checkpoint_minutes=PLAN.checkpoint_minutes,
            version=VERSION,
        script:
            "../scripts/train_layer.py"


# On a cluster, and with environments of their own, the fit itself finds out about devices.
onstart:
    keep_record()
    if workflow.local_exec and not workflow.deployment_settings.deployment_method:
        fits = [job for job in workflow.dag.needrun_jobs() if "train_layer" in job.rule.name]
        if sentence := missing_device(job.params.where["device"] for job in fits):
            sys.exit(f"Nothing was started: {sentence}")
