"""Models: each file has the settings, networks, losses, samples and generators of one method."""
