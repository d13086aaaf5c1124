"""Faster implementations of layers for training; without them, Keras computes the same results."""
