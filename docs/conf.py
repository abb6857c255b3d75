"""How Sphinx builds the site: ``make docs``."""

from __future__ import annotations

import sys
from importlib.metadata import version as version_of
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "extensions"))

project = "ptyxrf"
author = "the authors of ptyxrf"
copyright = "the authors of ptyxrf; BSD-3-Clause"
version = release = version_of("ptyxrf")

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "mathml",
    "plain_docstrings",
    "declared_settings",
    "command_help",
    "compiled_kernels",
]
exclude_patterns = ["_build", "extensions", "tutorials", "gallery/**/*.ipynb"]
templates_path = ["templates"]

# Markdown: what GitHub shows, too
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence", "dollarmath", "deflist"]
myst_fence_as_directive = ["math"]

# Python
autosummary_generate = True
autodoc_typehints = "none"  # numpydoc sections have types, shapes and units
autodoc_default_options = {"members": True, "inherited-members": True, "exclude-members": "declared, part"}
numpydoc_show_class_members = False
default_role = "py:obj"

# tutorials: run when the site is built
sphinx_gallery_conf = {
    "examples_dirs": "tutorials",
    "gallery_dirs": "gallery",
    "filename_pattern": r"\.py$",
    "ignore_pattern": r"__init__\.py|my_beamline\.py",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": False,
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_signature": False,
    "write_computation_times": False,
    "capture_repr": (),
    "matplotlib_animations": False,
    "reset_modules": ("matplotlib",),
    "copyfile_regex": r"my_beamline\.py",
}

# pages
html_theme = "pydata_sphinx_theme"
html_title = "ptyxrf"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "show_prev_next": True,
    "navigation_with_keys": False,
    # the tables of the settings need the width
    "secondary_sidebar_items": {"**": ["page-toc"], "reference/settings": []},
    "navbar_end": ["theme-switcher"],
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_sidebars = {"index": []}

suppress_warnings = ["config.cache"]
