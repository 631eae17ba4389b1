"""Figures: numbers computed from a report, then drawn by Altair."""
