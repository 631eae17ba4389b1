"""Sections of the page that an analysis has only where its runs allow them."""
