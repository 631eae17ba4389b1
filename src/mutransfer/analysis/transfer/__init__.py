"""Transfer of the best rate over widths: drift, regret, verdict, scaling laws, comparisons."""
