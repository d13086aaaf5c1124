"""Exports trained generators: SavedModel for servers, TFLite for devices, ONNX for other runtimes."""
