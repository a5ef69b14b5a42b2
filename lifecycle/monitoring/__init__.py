"""Watching the model in production: its inputs, its predictions, and what became of them."""
