"""Executors: where trials run. `local` uses processes of this machine, `slurm` tasks of a cluster.

<<<<<<< HEAD
`slurm` submits tasks that claim trials, and `ray` makes each trial a task. All have the contract of
`mutransfer.sweep.driver.Executor`.
=======
Each has the contract of `mutransfer.sweep.driver.Executor`.
>>>>>>> main
"""
