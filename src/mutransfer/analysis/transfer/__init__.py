"""Transfer across scales: drift, regret, laws of the optimum, verdict, comparison."""
