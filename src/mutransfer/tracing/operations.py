"""The table of torch's operations, by name: what each does to the axes and scales of its tensors.

Functions, methods, operators and layers of torch all come down to these. An operation that is not
listed works entry by entry if its shapes say so, and is not understood otherwise.
"""

# The dimensions that a product sums over, as (argument, dimension) twice, and whether the first
# dimension of both is a batch of products. Linear layers, matmul and einsum come down to these.
PRODUCTS: dict[str, tuple[tuple[int, int], tuple[int, int], bool]] = {
    "mm": ((0, 1), (1, 0), False),
    "addmm": ((1, 1), (2, 0), False),
    "bmm": ((0, 2), (1, 1), True),
    "baddbmm": ((1, 2), (2, 1), True),
    "mv": ((0, 1), (1, 0), False),
    "addmv": ((1, 1), (2, 0), False),
    "dot": ((0, 0), (1, 0), False),
}
LOOKUPS = frozenset(("embedding", "_embedding_bag", "index"))
# fmt: off
VIEWS = frozenset((
    "view", "_unsafe_view", "_reshape_alias", "alias", "t", "transpose", "permute", "expand",
    "unsqueeze", "squeeze", "slice", "select", "split", "split_with_sizes", "unbind", "clone",
    "_to_copy", "detach", "diagonal", "repeat", "roll", "flip", "index", "index_select",
    "lift_fresh", "unfold",
))
# fmt: on
WRITES = frozenset(("copy", "index_put", "slice_scatter", "select_scatter", "scatter"))
JOINS = frozenset(("cat", "stack"))

ADDS = frozenset(("add", "sub", "rsub"))
SCALES = frozenset(("mul", "div"))
BIAS = "bias"  # what adding a parameter to an activation is recorded as
MASKS = frozenset(("masked_fill", "where"))
LINEAR = ADDS | SCALES | MASKS | {"neg", "native_dropout"}  # if only one operand is an activation
SUMS = frozenset(("sum", "mean"))
STATISTICS = frozenset(("var", "std", "norm", "linalg_vector_norm", "amax", "amin", "logsumexp"))
# fmt: off
ROOTS = frozenset((  # from a statistic to a divisor
    "sqrt", "rsqrt", "pow", "reciprocal", "abs", "clamp", "clamp_min", "maximum", "nan_to_num",
))
# fmt: on
SOFTMAXES = frozenset(("_softmax", "_safe_softmax", "exp"))
# Random numbers are constants, also where torch writes them into a tensor shaped as an activation.
RANDOM = frozenset(("bernoulli", "rand_like", "randn_like", "uniform", "normal", "exponential"))
