"""Where audio comes from."""
