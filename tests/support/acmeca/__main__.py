"""python3 -m acmeca: see acmeca.server."""
from .server import main

main()
