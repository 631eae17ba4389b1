"""Judgement: fitted exponents against the exponents of a correct parametrization."""
