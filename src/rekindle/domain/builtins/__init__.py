"""The algorithms that come with their images: what each takes, what it tells, and what it refuses. Tables, no I/O."""
