"""What a single search asks of a model, computed by NumPy: torch takes seconds to import."""
