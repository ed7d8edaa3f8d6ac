"""Names of objects below a prefix: what the domain says of them, for this room."""

from rekindle.domain.object_names import check_names, checked_relative, relative

__all__ = ["check_names", "checked_relative", "relative"]
