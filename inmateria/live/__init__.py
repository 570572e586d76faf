"""A page in the browser that shows what matter does while it does it."""
