"""Translates files with a trained model: whole, or large ones in tiles."""
