"""The models: each a file that says what its settings, networks, losses, samples and generators are."""
