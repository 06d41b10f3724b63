"""How fast cross-validated training is, beside a baseline shaped like the field's and the machine's own floor.

    python -m benchmarks.training [--cases 20] [--rounds 3] [--threads 2] [--write docs/benchmarks.md]

work ─► cohort ─► candidates, each in a process of its own, in turns ─► measurements ┐
machine ─► ceilings ─► floor of the same work ───────────────────────────────────────┴─► table ─► page
"""
