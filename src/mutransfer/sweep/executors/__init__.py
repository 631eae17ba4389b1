"""Executors: where trials run. `local` uses processes of this machine, `slurm` tasks of a cluster.

Each has the contract of `mutransfer.sweep.driver.Executor`.
"""
