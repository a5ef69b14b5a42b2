"""Retraining: decide when a new model is due, ingest its data, and propose it in a pull request."""
