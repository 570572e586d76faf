"""Settings of the documentation site: `make docs` builds it, and warnings are errors."""

import sys
from pathlib import Path

import inmateria

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS / "site_parts"))

from public_names import write_pages_of_rooms  # noqa: E402

project = "inmateria"
author = "the authors of inmateria"
copyright = author  # noqa: A001  # Sphinx names it so
version = release = inmateria.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
    "generated_reference",
    "inherited_members",
    "links_outside",
    "mathml",
    "short_navigation",
]
exclude_patterns = ["_build", "decisions/README.md", "releasing.md", "gallery/**/*.ipynb", "gallery/**/*.py"]
suppress_warnings = [
    "config.cache",  # functions below cannot be pickled; all is read again
]
default_role = "py:obj"
root_doc = "index"

myst_enable_extensions = ["colon_fence", "attrs_inline"]
myst_heading_anchors = 3

write_pages_of_rooms(DOCS / "reference" / "api")
templates_path = ["site_parts/templates"]
autosummary_generate = True
autodoc_typehints = "none"  # numpydoc's sections say them in words
numpydoc_show_class_members = False

sphinx_gallery_conf = {
    "examples_dirs": "../examples/gallery",
    "gallery_dirs": "gallery",
    "filename_pattern": "/plot_",
    "within_subsection_order": "FileNameSortKey",
    "download_all_examples": False,
    "capture_repr": (),
    "show_memory": False,
    "show_signature": False,
    "remove_config_comments": True,
    "only_warn_on_example_error": False,
    "abort_on_example_error": True,
    "write_computation_times": False,
    "plot_gallery": "True",
    "reset_modules": ("matplotlib",),
    "doc_module": (),
    "min_reported_time": 3600,
}

html_theme = "furo"
html_static_path = ["site_parts/static"]
html_css_files = ["narrow_and_dark.css"]
html_title = f"inmateria {release}"
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False
html_math_renderer = "mathml"
pygments_style = "friendly"
pygments_dark_style = "monokai"
