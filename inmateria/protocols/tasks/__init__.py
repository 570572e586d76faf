"""The tasks that come with inmateria, one file each; none imports another."""
