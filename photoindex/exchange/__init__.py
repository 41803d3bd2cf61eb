"""The way out and back: backups, exports, and tags in XMP sidecars that other programs read."""
