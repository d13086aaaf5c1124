"""Measures the quality of models' outputs and writes a report."""
