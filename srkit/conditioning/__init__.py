"""What networks are conditioned on beside the image: the values, and the table of how each is made."""
