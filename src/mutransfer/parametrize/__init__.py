"""Parametrize: from any PyTorch model to a plan, and from a plan to weights and groups."""

from mutransfer.parametrize.apply import apply
from mutransfer.parametrize.guard import guard
from mutransfer.parametrize.param_groups import param_groups
from mutransfer.parametrize.planning import make_plan

__all__ = ["apply", "guard", "make_plan", "param_groups"]
