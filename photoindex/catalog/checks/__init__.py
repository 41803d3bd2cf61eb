"""What is in the database, looked at for faults; and what can be made again, made again."""
