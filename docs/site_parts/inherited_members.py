"""Methods that scikit-learn gives to every estimator for its own routing of metadata are not listed."""

import re
from typing import Any

_ROUTING = re.compile(r"get_metadata_routing|set_\w+_request|set_output")


def skip(app: Any, kind: str, name: str, thing: Any, skipped: bool, options: Any) -> bool | None:
    """Skip a member by its name."""
    return True if _ROUTING.fullmatch(name) else None


def setup(app: Any) -> dict[str, bool]:
    """Register it with autodoc."""
    app.connect("autodoc-skip-member", skip)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
