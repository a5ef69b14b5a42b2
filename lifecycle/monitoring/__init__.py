"""Monitoring of the model in production: inputs, predictions and outcomes."""
