"""Runs the Python blocks of the pages in this folder, each page from top to bottom in one namespace."""

import sys

from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

WITHOUT = [] if sys.version_info >= (3, 12) else ["cortical.md"]  # the vendor's SDK needs Python 3.12

pytest_collect_file = Sybil(parsers=[PythonCodeBlockParser()], patterns=["*.md"], excludes=WITHOUT).pytest()
