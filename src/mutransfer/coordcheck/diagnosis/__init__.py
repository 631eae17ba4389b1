"""Diagnosis: from deviating exponents to the scaling rule that is violated."""
