"""The objectives, one file each; each registers itself when imported."""
