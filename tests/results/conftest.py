"""Puts this folder on the path of tests in folders below: they share made-up results and the reader of pages."""
