"""Survival mathematics: tensors and arrays in, the same out. Knows no files and no models."""
