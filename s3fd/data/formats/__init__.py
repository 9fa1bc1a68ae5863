"""The forms that labels of photos come in: one reader a format."""
