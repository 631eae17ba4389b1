"""Runners: what trains one trial. A command, a Python function, or (in `workflows`) the lab."""
