"""Executors: where trials run. `local` uses processes of this machine.

Executors for SLURM and Ray are not built; each would be a module here with the contract of
`mutransfer.sweep.driver.Executor`.
"""
