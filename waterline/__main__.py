"""`python -m waterline` is the command `waterline`."""

from waterline.cli import main

main()
