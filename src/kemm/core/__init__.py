"""What every other part stands on: words, errors, files, the cohort, the store. Knows no modality."""
