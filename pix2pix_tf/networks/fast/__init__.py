"""What training computes faster than the library: leave it out, and Keras computes the same."""
