"""Comparing models fairly: many at once, in parts of the patients, and beyond what is known already."""
