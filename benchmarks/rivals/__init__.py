"""What the service is compared with: the same model, served as it is usually done."""
