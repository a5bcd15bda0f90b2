"""Getting another model onto the device: verified, proven, activated, and undone by itself."""
