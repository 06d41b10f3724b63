"""Neural networks: a batch of cases in, a forecast out. Knows no files and no modalities."""
