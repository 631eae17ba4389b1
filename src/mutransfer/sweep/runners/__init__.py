"""Runners: how one trial is executed, as a command or as a Python function."""
