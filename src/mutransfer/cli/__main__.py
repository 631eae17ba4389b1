"""Entry point of `python -m mutransfer.cli`."""

from mutransfer.cli.main import main

if __name__ == "__main__":
    main()
