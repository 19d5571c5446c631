"""``python -m taskinity_data``: the command line."""

from taskinity_data.cli import main

if __name__ == "__main__":
    main()
