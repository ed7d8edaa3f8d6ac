"""Names of objects below a prefix: what the domain says of them, for this room."""

from rekindle.domain.object_names import checked_relative, relative

__all__ = ["checked_relative", "relative"]
