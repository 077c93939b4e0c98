"""Streaming metrics, exact across ranks."""
