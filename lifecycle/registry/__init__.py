"""The model registry: the versions, the lineage of each, and which of them is the champion."""
