"""What the pytest plugin is made of; imported when a test asks for it."""
