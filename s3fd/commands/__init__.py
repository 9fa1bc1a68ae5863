"""The commands of ``s3fd``, one a module, and the files that they read and write."""
