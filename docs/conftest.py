"""Runs the Python blocks of the pages in this folder, each page from top to bottom in one namespace."""

import sys

import lsl_alone
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

lsl_alone.use()  # before anything loads liblsl
WITHOUT = [] if sys.version_info >= (3, 12) else ["cortical.md"]  # the vendor's SDK needs Python 3.12

pytest_collect_file = Sybil(parsers=[PythonCodeBlockParser()], patterns=["*.md"], excludes=WITHOUT).pytest()
