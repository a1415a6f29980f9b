"""Run the program with ``python -m migratable``."""

from migratable.cli import main

if __name__ == "__main__":
    main()
