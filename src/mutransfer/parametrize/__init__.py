"""Parametrization of any PyTorch model: a plan, scaled weights, parameter groups and a guard."""

from mutransfer.parametrize.apply import apply
from mutransfer.parametrize.guard import guard
from mutransfer.parametrize.param_groups import param_groups
from mutransfer.parametrize.planning import make_plan

__all__ = ["apply", "guard", "make_plan", "param_groups"]
