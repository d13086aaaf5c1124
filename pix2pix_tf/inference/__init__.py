"""Translates image files with a trained model, large images in tiles."""
