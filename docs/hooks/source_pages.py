"""A page of the site for each file of code that the documentation links to.

In the pages such a link is a path in the repository, as ``../coda_core/kernel.py``, so that it leads somewhere from a
checkout and from a forge too. In the site it leads to a page made here, with the file's text.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from mkdocs.utils import log

ROOT: Final = Path(__file__).parent.parent.parent
_LINK: Final = re.compile(r"\]\((\.\./[^)\s#]+\.(?:py|toml|json|md))\)")
_LANGUAGES: Final = {".py": "python", ".toml": "toml", ".json": "json", ".md": "markdown"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for every file of the repository that a page links to."""
    linked = {target for file in files.documentation_pages() for target in _code_links(file).values()}
    for path in sorted(linked):
        files.append(File.generated(config, _page_of(path), content=_page(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links to code into links to its pages."""
    del config, files
    targets = _code_links(page.file)

    def turned(link: re.Match[str]) -> str:
        target = targets.get(link[1])
        return f"]({_from(page.file, target)})" if target is not None else link[0]

    return _LINK.sub(turned, markdown)


def _code_links(file: File) -> dict[str, str]:
    """Return what a page's links to files outside of the documentation mean: paths in the repository."""
    if file.generated_by is not None:
        return {}
    found = {}
    for link in _LINK.findall(file.content_string):
        path = posixpath.normpath(posixpath.join("docs", posixpath.dirname(file.src_uri), link))
        if path.startswith("docs/"):
            continue
        if not (ROOT / path).is_file():
            log.warning("%s links to %s, which does not exist", file.src_uri, path)
            continue
        found[link] = path
    return found


def _page_of(path: str) -> str:
    return f"code/{path}.md"


def _from(file: File, path: str) -> str:
    return posixpath.relpath(_page_of(path), posixpath.dirname(file.src_uri) or ".")


def _page(path: str) -> str:
    text = (ROOT / path).read_text("utf-8")
    fence = "`" * 6
    language = _LANGUAGES[posixpath.splitext(path)[1]]
    front = f"---\ntitle: {path}\nsearch:\n  exclude: true\nhide: [toc]\n---\n"
    return f'{front}\n# `{path}`\n\n{fence}{language} linenums="1"\n{text}{fence}\n'
