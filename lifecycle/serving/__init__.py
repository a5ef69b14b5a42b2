"""The service: predictions over HTTP, remembered and counted."""
