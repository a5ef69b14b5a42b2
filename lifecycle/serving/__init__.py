"""The service: predictions over HTTP, with a prediction log and metrics."""
