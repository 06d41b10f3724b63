"""Rules that find, for each field, the spans of a report that may answer it."""
