"""What is done with a substrate: benchmark tasks and experiment scripts, and the runs they leave behind.

A task is an async function ``(substrate, settings, on_progress) -> Outcome``; see `digits` for one to copy.
Others plug in through the entry point group ``inmateria.tasks``, as ``name = "package.module:TASK"``.
"""
