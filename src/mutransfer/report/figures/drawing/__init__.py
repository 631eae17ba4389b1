"""The drawing half of figures: numbers to Vega-Lite specifications."""
