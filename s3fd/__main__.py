"""``python -m s3fd``: the command line."""

from s3fd.cli import main

main()
