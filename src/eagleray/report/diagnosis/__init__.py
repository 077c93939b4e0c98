"""What is wrong with a run, by its own records, and which key of its document mends it. Pure functions."""
