"""Weights in, weights out."""
