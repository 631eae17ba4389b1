"""Building a user's model: with weights and a temporary seed, or on the meta device."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from mutransfer.errors import ModelError

Build = Callable[[int], nn.Module]
RANDOM_FILLS = {"normal_", "uniform_", "kaiming_uniform_"}  # those that a TorchFunctionMode sees


def build_model(build: Build, width: int, *, meta: bool = False) -> nn.Module:
    """Call the user's factory, on the CPU or on the meta device.

    Raises:
        ModelError: The factory raised, or did not return a module with weights.
    """
    if isinstance(build, nn.Module):
        raise ModelError(
            "build is a model, not a function that builds one",
            why="the plan compares the shapes of your model at several widths",
            fix="pass a function: make_plan(lambda width: MyModel(width), ...)",
        )
    where = " on the meta device" if meta else ""
    try:
        with torch.device("meta" if meta else "cpu"), _SkipFills() if meta else nullcontext():
            model = build(width)
    except Exception as problem:
        raise ModelError(
            f"build({width}){where} raised {type(problem).__name__}: {problem}",
            why="the plan compares the shapes of your model at several widths",
            fix=f"make build({width}) work by itself; at the target it is built on the meta "
            "device, so create tensors without naming a device",
        ) from problem
    if not isinstance(model, nn.Module):
        raise ModelError(
            f"build({width}) returned {type(model).__name__}, not a torch.nn.Module",
            why="a plan is made from the parameters of a module",
            fix="return the model: build = lambda width: MyModel(width)",
        )
    if not meta and any(parameter.is_meta for parameter in model.parameters()):
        raise ModelError(
            f"build({width}) returned a model on the meta device, which has no weights",
            why="your init is measured, and the model is run, at small widths",
            fix="create tensors without naming a device; make_plan itself selects the meta device "
            "where it needs no weights",
        )
    return model


class _SkipFills(TorchFunctionMode):
    """Skip random fills of meta tensors: each takes torch a millisecond and has no effect."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever the function returns
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") not in RANDOM_FILLS:
            return func(*args, **kwargs)
        tensor = args[0] if args else kwargs["tensor"]
        return tensor if tensor.is_meta else func(*args, **kwargs)


@contextmanager
def temporary_seed(seed: int) -> Iterator[None]:
    """Seed torch inside the context, and restore the user's random state afterwards."""
    # Empty until CUDA is first used: until then there is no state to save, and seeding CUDA would
    # replace the seed that the user has set for its first use.
    devices = range(len(torch.cuda.default_generators))
    with torch.random.fork_rng(devices=devices):
        (torch.manual_seed if devices else torch.default_generator.manual_seed)(seed)
        yield
