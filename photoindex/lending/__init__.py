"""A running watcher lends its warm model and vector index to searches, over a socket."""
