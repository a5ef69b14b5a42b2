"""The stages of dvc.yaml (prepare, train, evaluate), and what `make` does around them."""
