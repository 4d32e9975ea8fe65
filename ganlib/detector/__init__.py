"""A trained model with its threshold: train, score, report and export it."""
