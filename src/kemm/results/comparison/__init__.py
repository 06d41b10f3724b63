"""Models beside one another: what was compared, how sure the differences are, and whether the comparison itself holds."""
