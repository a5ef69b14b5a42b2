"""A proposed model beside the champion: compared on the same rows, gated, reported."""
