"""What came of a sweep, as one page that opens without a network."""
