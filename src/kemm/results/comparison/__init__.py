"""Comparing models fairly: many at once, in parts of the patients, and beyond what is known already.

`records` is what the others return, and loads nothing but pydantic: a report needs no more.
"""
