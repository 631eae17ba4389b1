"""Readers, one per file format: CSV, JSON, Parquet, W&B, TensorBoard and our own trial store."""
