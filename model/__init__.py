"""A model from versioned data to production: see README.md for the map."""
