"""What is wrong with a data set, found by decoding every image once."""
