"""Executors: where trials run. `local` uses processes of this machine.

`slurm` submits tasks that claim trials, and `ray` makes each trial a task. All have the contract of
`mutransfer.sweep.driver.Executor`.
"""
