"""What both commands show on a terminal, and how: tables, progress, words, JSON, signals."""
