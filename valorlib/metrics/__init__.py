"""Numbers that judge a registration, a segmentation or a dose."""
