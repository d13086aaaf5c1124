"""Measures how good the images of models are, and reports it."""
