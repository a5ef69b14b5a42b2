"""Draw docs/comment.png: the comment that a pull request gets, from a real run of the workflows.

The pull request edits one hyperparameter of the project as it is. `propose.yml` and `comment.yml` run here, as
in `make rehearse`, and Chromium draws what they post.
"""

import subprocess
import tempfile
from pathlib import Path

import cmarkgfm
from cmarkgfm.cmark import Options

from lifecycle.shared import console
from lifecycle.shared.console import UserError
from tests.github.rehearse import origin_of, propose
from tests.github.server import github
from tests.lifecycle.missing import find
from tests.lifecycle.repository import ROOT, copied_project

PICTURE = ROOT / "docs/comment.png"
EDIT = ("max_leaf_nodes: 31", "max_leaf_nodes: 63")
WIDTH = 980  # CSS pixels

PAGE = """\
<!doctype html>
<meta charset="utf-8">
<style>
  body {{ margin: 12px; width: {width}px; font: 14px/1.5 "DejaVu Sans", sans-serif; color: #1f2328; background: #fff }}
  article {{ border: 1px solid #d1d9e0; border-radius: 6px }}
  header {{ background: #f6f8fa; border-bottom: 1px solid #d1d9e0; border-radius: 6px 6px 0 0; padding: 8px 16px }}
  main {{ padding: 4px 16px 12px }}
  h2, h3 {{ border-bottom: 1px solid #d1d9e0b3; padding-bottom: 4px; margin: 16px 0 12px }}
  table {{ border-collapse: collapse; margin: 8px 0; font-size: 13px }}
  th, td {{ border: 1px solid #d1d9e0; padding: 5px 10px; white-space: nowrap }}
  details {{ margin: 8px 0 }}
  tr:nth-child(even) td {{ background: #f6f8fa }}
  code {{ background: #818b981f; border-radius: 6px; padding: 2px 5px; font-size: 12px }}
  pre code {{ background: none }}
  blockquote {{ border-left: 4px solid #d1d9e0; color: #59636e; margin: 8px 0; padding-left: 14px }}
</style>
<article><header><b>github-actions</b> bot commented</header><main>{comment}</main></article>
<script>document.title = document.documentElement.scrollHeight + "px"</script>
"""


def comment_of_a_proposal(directory: Path) -> str:
    """Return the comment, as Markdown, that the workflows post for a pull request with one edited hyperparameter."""
    project = copied_project(directory / "project")
    (project.folder / ".dvc/cache").symlink_to(ROOT / ".dvc/cache")
    (project.folder / ".venv").symlink_to(ROOT / ".venv")
    params = project.folder / "params.yaml"
    params.write_text(params.read_text(encoding="utf-8").replace(*EDIT), encoding="utf-8")
    origin = origin_of(project.folder, directory / "rehearsal/origin")
    with github() as server:
        _, comment = propose(origin.folder, server, directory / "rehearsal")
    return comment


def draw(comment: str, picture: Path, directory: Path) -> None:
    """Draw Markdown as GitHub shows it.

    Raises:
        UserError: If there is no Chromium.
    """
    chromium = find("chromium")
    if chromium is None:
        raise UserError("Chromium is missing: install the package chromium, and fonts-noto-color-emoji for its signs.")
    page = directory / "comment.html"
    html = cmarkgfm.github_flavored_markdown_to_html(comment, Options.CMARK_OPT_UNSAFE)  # comment.py has cleaned it
    page.write_text(PAGE.format(comment=html, width=WIDTH), encoding="utf-8")
    options = [chromium, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={directory / 'chromium'}"]
    dumped = subprocess.run([*options, "--dump-dom", page.as_uri()], capture_output=True, text=True, check=True).stdout
    height = dumped.partition("<title>")[2].partition("px</title>")[0]
    size = [f"--window-size={WIDTH + 24},{height}", "--force-device-scale-factor=1.5", "--hide-scrollbars"]
    command = [*options, *size, f"--screenshot={picture}", page.as_uri()]
    subprocess.run(command, capture_output=True, check=True)


def main() -> None:
    """Play a pull request and draw its comment."""
    with tempfile.TemporaryDirectory() as name:
        draw(comment_of_a_proposal(Path(name)), PICTURE, Path(name))
    print(PICTURE.relative_to(ROOT))


if __name__ == "__main__":
    console.run_main(main)
