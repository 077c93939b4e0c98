"""What a user wants done, from start to end: the parts below put together."""
