"""Where pairs of images come from, and how they become batches."""
