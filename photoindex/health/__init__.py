"""Looking at a whole library and what it needs, and mending what can be made again."""
