"""The release of a trained model: image, registered version, model card, deployment and rollback."""
