"""Training: the step, the optimisers, the loop around them and what it records."""
