"""Built-in trainers: programs that run as ordinary training jobs and know the service by its contract alone."""
