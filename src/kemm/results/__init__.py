"""From a predictions table to numbers, pictures and one HTML file. Never loads a model."""
