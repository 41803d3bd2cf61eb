"""`python -m ram_tagger`, the form in which torchrun starts a command."""

from ram_tagger.cli.app import main

main()
