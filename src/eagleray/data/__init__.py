"""Rows in, batches out: sources, checks, the tokenised cache, the order of samples, micro batches."""
