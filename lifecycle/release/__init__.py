"""What becomes of a trained model: its lineage, and the image that serves it."""
