"""One subject a modality: from the user's files to features. Knows no model."""
