"""Checks of a data set, based on decoding every image once."""
