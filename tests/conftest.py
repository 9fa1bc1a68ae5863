"""What all tests share."""

from hypothesis import settings

# The first call of an operator, or a busy machine, makes single examples slow.
settings.register_profile("s3fd", deadline=None)
settings.load_profile("s3fd")
