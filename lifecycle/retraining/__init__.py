"""Retraining: when a new model is due, the data for it, and the pull request that proposes it."""
