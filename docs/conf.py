"""How `make docs` builds the pages: the Markdown of docs/ and beside it, where it lies."""

from __future__ import annotations

project = "Perennial"
root_doc = "docs/index"
include_patterns = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/**", "infra/README.md"]
exclude_patterns = [".*", "data", "perennial", "tests", "benchmarks"]
suppress_warnings = ["toc.not_included"]  # a page that is in no menu is still found by its links
extensions = ["myst_parser"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = project
html_show_sphinx = False
html_copy_source = False
