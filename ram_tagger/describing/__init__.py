"""Having a language model describe what tags look like: prompts, endpoint, journal, file."""
