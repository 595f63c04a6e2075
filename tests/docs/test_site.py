"""The site in docs/: it builds without a warning and without a network, and what is made from the code is complete."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


#: Sphinx in a process in which whatever reaches for the network fails.
BUILD = """
import sys
from sphinx.cmd.build import main

def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        raise OSError(f"the site asks the network: {event} {arguments[1:]}")

sys.addaudithook(refuse)
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the built site."""
    out = tmp_path_factory.mktemp("site")
    options = ["-W", "--keep-going", "-q", "-b", "html", "-d", out / "doctrees"]
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", BUILD, *options, DOCS, out / "html"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return out / "html"


def test_it_builds_without_a_warning(site):
    pages = {
        path.relative_to(DOCS).with_suffix("").as_posix()
        for ending in ("md", "rst")
        for path in DOCS.rglob(f"*.{ending}")
    }
    built = {path.relative_to(site).with_suffix("").as_posix() for path in site.rglob("*.html")}
    assert pages - built == set()


def test_no_page_asks_anybody_for_anything(site):
    """No fonts, scripts, styles or pictures from elsewhere."""
    asked = re.compile(
        r'<(?:script|link|img|iframe)\b[^>]*?(?:src|href)="(?:https?:)?//[^"]*"|@import|url\(["\']?(?:https?:)?//'
    )
    files = [path for ending in ("html", "css") for path in site.rglob(f"*.{ending}")]
    assert [path.name for path in files if asked.search(path.read_text())] == []


def test_every_golden_module_has_its_place():
    pages = "".join(path.read_text() for path in (DOCS / "api").glob("*.rst"))
    named = set(re.findall(r"automodule:: bitloom\.(golden\.\S+)", pages))
    modules = {
        path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
        for path in (ROOT / "golden").rglob("*.py")
        if path.stem != "__init__"
    }
    assert named == modules


def test_the_picture_of_the_readme_shows_the_figures_of_the_pages():
    spec = importlib.util.spec_from_file_location("results", DOCS / "pictures/results.py")
    results = importlib.util.module_from_spec(spec)
    sys.modules["results"] = results
    spec.loader.exec_module(results)
    assert (DOCS / "pictures/results.svg").read_text() == results.draw()


def test_links_of_the_readme_lead_to_files():
    for page in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", (ROOT / page).read_text()):
            assert link.startswith("https://") or (ROOT / link).exists(), f"{page}: {link}"


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 250


def test_the_readme_says_what_was_never_done():
    assert "No board was ever attached" in (ROOT / "README.md").read_text()
