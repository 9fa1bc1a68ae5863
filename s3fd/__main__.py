"""``s3fd`` and ``python -m s3fd``: the command line."""

import sys


def main() -> None:
    """Runs the command line; Ctrl-C ends it without a word, even while it is being imported."""
    try:
        from s3fd import cli

        cli.main()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
