"""The models: each a file that says what its settings, networks, losses, metrics, samples and painters are."""
