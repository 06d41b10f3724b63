"""`python -m kemm` is `kemm`."""

from kemm.cli import main

main()
