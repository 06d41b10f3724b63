"""Folds, fitting, the training loop and the comparators, under one protocol."""
