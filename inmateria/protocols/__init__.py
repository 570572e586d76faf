"""Tasks that run on any substrate, and the runs and reports that they leave.

A task is an async function ``(substrate, settings, on_progress) -> Outcome`` and a `Task` that names it;
CONTRIBUTING.md has one to copy. Tasks of other packages plug in through the entry point group ``inmateria.tasks``, as
``name = "package.module:TASK"``.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
