"""The command `ram-tagger`: one file for each group of commands."""
