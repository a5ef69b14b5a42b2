"""The model registry: which versions there are, from what each was made, and which of them is the champion."""
