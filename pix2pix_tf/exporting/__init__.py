"""A trained generator as files that others run: SavedModel for servers, TFLite for devices."""
