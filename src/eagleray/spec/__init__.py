"""What a user writes: the documents, validated and immutable."""
