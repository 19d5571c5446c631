"""Configure Sphinx for the documentation: ``make docs`` builds it into ``build/docs``."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import generate  # noqa: E402 - found beside this file

from taskinity_data.version import __version__  # noqa: E402

project = "Taskinity Data"
author = "The Taskinity Data contributors"
project_copyright = "the Taskinity Data contributors"
version = release = __version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["design", "reference/templates"]  # design notes are for engineers
templates_path = ["reference/templates"]

myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence", "deflist"]

# A name in single backticks links to its page, if it has one.
default_role = "py:obj"
autodoc_typehints = "none"  # numpydoc lists the parameters with their types
autodoc_default_options = {"members": False}
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
add_module_names = False
toc_object_entries = False
maximum_signature_line_length = 88

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_exclude = ".linenos, .gp"
copybutton_selector = "div:not(.highlight-output) > div.highlight > pre"

html_theme = "pydata_sphinx_theme"
html_title = "Taskinity Data"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "Taskinity Data"},
    "header_links_before_dropdown": 6,
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_sidebars = {"index": []}


def setup(app):
    """Fill the pages that are generated from the package when they are read."""
    app.connect("source-read", generate.fill_page)
    app.connect("autodoc-process-signature", generate.shorten_signature)
    app.connect("autodoc-skip-member", generate.skip_internal)
    app.connect("missing-reference", generate.find_public_name)
