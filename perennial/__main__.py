"""``python -m perennial``: the command line."""

from perennial.cli import main

if __name__ == "__main__":
    main()
