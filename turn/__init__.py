"""The nouns of the relay."""
