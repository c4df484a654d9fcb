"""Set-up of the unit tests: as in the workflow's jobs, threads that wait sleep."""

from nmf_workflow.environment import share_the_cores

# Before torch and numba are imported. Without it a test takes many times as long on a busy machine.
share_the_cores()
