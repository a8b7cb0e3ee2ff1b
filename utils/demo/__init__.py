"""The built-in engine: it answers the Images API in this process."""
