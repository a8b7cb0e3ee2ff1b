"""Pictures, by any server that speaks the Images API."""
