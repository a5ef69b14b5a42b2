"""Which files of its judge a pull request changes, as the note above its report says."""

import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from lifecycle.proposal.judge_files import HARMLESS_KEYS, LONGEST_NOTE, changes_gates, note, render_note, touched
from lifecycle.shared.params import Params
from lifecycle.shared.text import LONGEST, clean
from tests.github import contents, server
from tests.github.pull_request import PullRequest
from tests.github.server import GitHub
from tests.lifecycle.repository import EXAMPLE_PROJECT, ROOT, Repository, edit

PARAMS = (EXAMPLE_PROJECT / "params.yaml").read_text(encoding="utf-8")
SAID = "⚠️ **This pull request changes what it is judged by.** "
END = " Review these first: the report of a pull request is written by its own code.\n\n"
INCOMPLETE = (
    "⚠️ **This pull request may change anything that it is judged by**: it changes more files than GitHub lists, so "
    "this list may be incomplete."
)
UNKNOWN = "⚠️ **It is unknown"


def file(name: str, status: str = "modified", previous: str = "") -> dict[str, str]:
    return {"filename": name, "status": status} | ({"previous_filename": previous} if previous else {})


@pytest.mark.parametrize(
    ("path", "heading"),
    [
        ("lifecycle/shared/metrics.py", "machinery"),
        ("lifecycle/shared/params.py", "machinery"),
        ("lifecycle/proposal/comment.py", "machinery"),
        ("lifecycle/shared/files/__init__.py", "machinery"),
        ("Makefile", "machinery"),
        ("dvc.yaml", "machinery"),
        (".github/workflows/propose.yml", "workflows and reviewers"),
        (".ci/run", "workflows and reviewers"),
        (".githooks/pre-commit", "workflows and reviewers"),
        ("CODEOWNERS", "workflows and reviewers"),
        ("docs/CODEOWNERS", "workflows and reviewers"),
        ("params.yaml", "gates"),
        ("tests/test_histograms.py", "tests"),
        ("pyproject.toml", "dependencies"),
        ("requirements/pipeline.txt", "dependencies"),
        (".dvc/config", "data storage"),
        (".dvc/remote/files/md5/47/211f8845eebf6e794de045511abcc4.dir", "data storage"),
        (".dvcignore", "data storage"),
        ("bentofile.yaml", "service and deployment"),
        ("deploy/compose.yaml", "service and deployment"),
        # What is found before the machinery's own, by Python, make, pytest, uv, git, DVC.
        ("numpy.py", "may shadow the machinery"),
        ("yaml/__init__.py", "may shadow the machinery"),
        ("GNUmakefile", "may shadow the machinery"),
        ("pytest.ini", "may shadow the machinery"),
        ("uv.toml", "may shadow the machinery"),
        (".gitattributes", "may shadow the machinery"),
        (".venv/bin/python", "may shadow the machinery"),
        ("artifacts/champion/model/model.onnx", "may shadow the machinery"),
        ("data/2013-07.parquet", "may shadow the machinery"),
        ("tests", "may shadow the machinery"),  # a symbolic link in the folder's place
        *((f"model/{name}", None) for name in ("__init__.py", "contract.py", "data.py", "features.py", "holidays.py")),
        *((path, None) for path in ("README.md", "LICENSE", "data.dvc", "dvc.lock", "explore.ipynb")),
        *(
            (path, None)
            for path in ("benchmarks/soak.py", "benchmarks/__init__.py", "docs/why.md", "reports/metrics.json")
        ),
        ("scripts/tests/test_histograms.py", None),
        ("my-lifecycle/shared/metrics.py", None),
    ],
)
def test_each_file_has_its_place(path: str, heading: str | None) -> None:
    assert touched([file(path)], gates=True) == ({heading: [path]} if heading else {})


def test_every_file_of_the_machinery_is_the_judge_s() -> None:
    folders = ("lifecycle/", "tests/", ".github/", ".ci/", ".githooks/", "deploy/", "requirements/")
    files = ("Makefile", "dvc.yaml", "bentofile.yaml", "pyproject.toml", "params.yaml", ".dvcignore", ".gitignore")
    command = ["git", "ls-files", *folders, *files]
    tracked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert {"lifecycle/shared/metrics.py", "Makefile"} <= {*tracked}
    found = {name for names in touched(map(file, tracked), gates=True).values() for name in names}
    assert {*tracked} - found == set()


def test_params_only_where_they_judge() -> None:
    assert touched([file("params.yaml"), file("model/data.py")], gates=False) == {}


def test_a_renamed_file_counts_by_both_names() -> None:
    out, into = "benchmarks/metrics.py", "lifecycle/shared/metrics.py"
    assert touched([file(out, "renamed", into)], gates=False) == {"machinery": [into]}
    assert touched([file(into, "renamed", out)], gates=False) == {"machinery": [into]}
    assert touched([file("tests/test_histograms.py", "removed")], gates=False) == {
        "tests": ["tests/test_histograms.py"]
    }


def test_new_data_is_what_a_proposal_brings_and_changed_data_is_not() -> None:
    stored = ".dvc/remote/files/md5/26/fbe64e1a420d3b738c8e5351b3d9a9"
    assert touched([file(stored, "added"), file(f"{stored}.dir", "added")], gates=False) == {}
    for changed in (file(stored), file(stored, "removed"), file(f"{stored}.py", "added"), file(".dvc/tmp/x", "added")):
        assert touched([changed], gates=False) == {"data storage": [changed["filename"]]}
    assert touched([file(stored, "renamed", stored.replace("26", "27"))], gates=False) != {}


# What makes a model, and what changes nothing.
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("learning_rate: 0.05", "learning_rate: 1e-2"),
        ("max_features: 0.3", 'max_features: "sqrt"  # quoted'),
        ("    max_iter: 200\n", "    max_iter: 200\n\n    # a comment: {[\"'&*\n    hidden: [64, 32]\n"),
        ("estimator: hist_gradient_boosting", "estimator: random_forest"),
        ("window: {first: 2013-01, last: 2013-06}", "window:\n  first: 2013-02\n  last: 2013-06"),
        ("holdout: {first: 2013-07, last: 2013-07}", "holdout: {first: 2013-07, last: 2013-08}"),
        ("seed: 2013", "seed: 7"),
        ("model_format: onnx", "model_format: skops"),
        ("# Flights with at least this probability", "# Flüge ab dieser Wahrscheinlichkeit"),
        ("seed: 2013\n\n", ""),
    ],
)
def test_a_change_of_the_model_is_none_of_the_gates(old: str, new: str) -> None:
    assert PARAMS.count(old) >= 1
    assert not changes_gates(PARAMS, PARAMS.replace(old, new))


def with_key(line: str) -> str:
    return PARAMS.replace("seed: 2013\n", f"{line}\n")


@pytest.mark.parametrize(
    "after",
    [
        pytest.param(PARAMS.replace("roc_auc: 0.25", "roc_auc: 0.1"), id="gates"),
        pytest.param(PARAMS.replace("confidence: 0.95", "confidence: 0.5"), id="metrics"),
        pytest.param(PARAMS.replace("origins: 4", "origins: 1"), id="comparison"),
        pytest.param(PARAMS.replace("slices: [origin, carrier]", "slices: []"), id="slices"),
        pytest.param(PARAMS.replace("threshold: 0.5", "threshold: 0.9"), id="threshold"),
        pytest.param(PARAMS.replace("missing: 0.05", "missing: 0.9"), id="monitoring"),
        pytest.param(PARAMS.replace("auto_merge: false", "auto_merge: true"), id="retraining"),
        pytest.param(f"{PARAMS}verdict: {{origins: 1}}\n", id="a new key"),
        pytest.param(PARAMS.replace("threshold: 0.5\n", ""), id="a key is gone"),
        pytest.param("", id="empty"),
        # Each of these is read by YAML as something else than by lines that begin with a key.
        pytest.param(f"{PARAMS}gates: {{}}\n", id="the last of two keys wins"),
        pytest.param(f"{PARAMS}seed: 1\n", id="a harmless key twice"),
        pytest.param(f'{PARAMS}"gates": {{}}\n', id="quoted key"),
        pytest.param(f'{PARAMS}"\\x67ates": {{}}\n', id="escaped key"),
        pytest.param(f"{PARAMS}gates : {{}}\n", id="key with a space"),
        pytest.param(f"{PARAMS}? gates\n: {{}}\n", id="explicit key"),
        pytest.param(f"{PARAMS}!!str gates: {{}}\n", id="tagged key"),
        pytest.param(f"{PARAMS}<<: {{threshold: 0.9}}\n", id="merge key"),
        pytest.param(f"{PARAMS}---\nthreshold: 0.9\n", id="another document"),
        pytest.param(f"{PARAMS}...\n", id="end of the document"),
        pytest.param(f"%YAML 1.1\n---\n{PARAMS}", id="directive"),
        pytest.param(f"\ufeff{PARAMS}", id="byte order mark"),
        pytest.param(PARAMS.replace("\n", "\r\n"), id="lines that end as on Windows"),
        pytest.param(PARAMS.replace("\n", "\r"), id="lines that end as on an old Mac"),
        *(
            pytest.param(with_key(f"seed: 2013 # {end}threshold: 0.9{end}"), id=f"line that ends by U+{ord(end):04X}")
            for end in "\r\x85\u2028\u2029"
        ),
        pytest.param(with_key("seed: 2013\t# a tab"), id="tab"),
        pytest.param(with_key("seed: &g 2013"), id="anchor"),
        pytest.param(with_key("seed: *g"), id="alias"),
        pytest.param(with_key("seed: !!int 2013"), id="tag"),
        pytest.param(with_key('seed: "'), id="quote that swallows the gates"),
        pytest.param(with_key("seed: 'a''"), id="quoted quote"),
        pytest.param(with_key('seed: "\\"'), id="escaped quote"),
        pytest.param(with_key("seed: {a: 1,"), id="flow mapping that goes on"),
        pytest.param(with_key("seed: [1,"), id="flow sequence that goes on"),
        pytest.param(with_key("seed: |"), id="block text"),
        pytest.param(with_key("seed: >-"), id="folded text"),
        pytest.param(f"  window: 1\n{PARAMS}", id="indented first line"),
        pytest.param(f"{{{', '.join(HARMLESS_KEYS)}}}\n", id="one flow mapping"),
        pytest.param("- gates\n", id="a list"),
        pytest.param("gates", id="a word"),
        pytest.param(with_key("seed: 2013\nword"), id="a word at the start of a line"),
        pytest.param(with_key("seed:2013"), id="no space after the colon"),
        pytest.param(with_key("größe: 1"), id="key beyond ASCII"),
        pytest.param(PARAMS.replace("seed", "s\u0435\u0435d"), id="look-alike key"),
        pytest.param(PARAMS.replace("\n", "\x00\n"), id="NUL"),
    ],
)
def test_whatever_may_change_the_gates_counts(after: str) -> None:
    assert changes_gates(PARAMS, after)
    assert changes_gates(after, PARAMS)


def test_nothing_slips_by_that_yaml_reads_differently() -> None:
    """Each line of params.yaml in turn is made longer by each piece; what is called harmless is so for YAML, too."""
    pieces = [
        '"',
        "'",
        "{",
        "[",
        "&a ",
        "*a",
        "|",
        ">",
        "!!str ",
        "? ",
        "- ",
        ": ",
        "# ",
        "\n",
        "\ngates: ",
        "\t",
        "\\",
    ]
    lines = PARAMS.splitlines()
    judging = set(Params.model_fields) - HARMLESS_KEYS
    before, harmless = yaml.safe_load(PARAMS), 0
    for at, line in enumerate(lines):
        for piece in pieces:
            for longer in (piece + line, line + piece, line.replace(": ", f": {piece}")):
                after = "\n".join([*lines[:at], longer, *lines[at + 1 :]])
                if longer != line and not changes_gates(PARAMS, after):
                    harmless += 1
                    try:
                        read = yaml.safe_load(after)
                    except yaml.YAMLError:
                        continue  # params.yaml that cannot be read is refused before anything is judged
                    assert {key: read[key] for key in judging} == {key: before[key] for key in judging}, after
    assert harmless > 100


def test_a_long_hostile_file_takes_no_time() -> None:
    for line in (f"seed: {' ' * 60_000}{{", f"seed: {'a ' * 30_000}", f"seed: [{'1, ' * 20_000}", f"a{':' * 60_000}"):
        assert changes_gates(PARAMS, f"{PARAMS}{line}\n")


def test_the_harmless_keys_are_keys() -> None:
    assert set(Params.model_fields) > HARMLESS_KEYS
    assert not HARMLESS_KEYS & {"gates", "metrics", "slices", "threshold", "comparison", "monitoring", "retraining"}


def test_names_are_cut_and_counted() -> None:
    assert render_note({}, complete=True) == ""
    assert render_note({"tests": ["tests/a.py"]}, complete=True) == f"{SAID}tests: `tests/a.py`.{END}"
    names = [f"tests/{number:04}.py" for number in range(1_234)]
    shown = render_note({"tests": names, "gates": ["params.yaml"]}, complete=True)
    assert ", `tests/0019.py` and 1,214 more; gates: `params.yaml`. Review" in shown
    assert "0020" not in shown


def test_the_longest_note_leaves_room_for_the_longest_report() -> None:
    hostile = [f"lifecycle/{'`@acme|<!--' * 200}{number}" for number in range(3_000)]
    headings = [f"a heading as long as any {number}" for number in range(10)]
    longest = render_note(dict.fromkeys(headings, hostile), complete=False)
    assert all(heading in longest for heading in headings)
    assert len(longest) <= LONGEST_NOTE
    rest = 1_000  # commit, address of the run, CML's mark
    assert len(longest) + len(clean("a\n" * LONGEST)) + rest < 65_536


def test_names_are_hostile() -> None:
    shown = render_note({"tests": ["tests/`@acme/all\n\n# ✅ Nothing\u202e|<!--.py"]}, complete=True)
    assert shown == f"{SAID}tests: `tests/'@acme/all  # ✅ Nothing ¦<!--.py`.{END}"


def test_nothing_has_to_be_installed() -> None:
    """`-S`: without the folder that packages are installed into."""
    command = [sys.executable, "-S", "-c", "import lifecycle.proposal.comment"]
    subprocess.run(command, cwd=ROOT, check=True)


@pytest.fixture
def github(monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHub]:
    with server.github() as started:
        monkeypatch.setenv("GITHUB_API_URL", started.api)
        monkeypatch.setenv("GITHUB_REPOSITORY", server.NAME)
        monkeypatch.setenv("GITHUB_TOKEN", "not-a-real-token")
        yield started


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """A repository with a main, and a `proposal` that is checked out."""
    made = Repository(tmp_path)
    made.must("git", "init", "--quiet", "--initial-branch", "main")
    (tmp_path / "params.yaml").write_text(PARAMS, encoding="utf-8")
    (tmp_path / "lifecycle/shared").mkdir(parents=True)
    (tmp_path / "lifecycle/shared/params.py").write_text("# The machinery\n", encoding="utf-8")
    made.commit("The template")
    made.must("git", "switch", "--quiet", "--create", "proposal")
    return made


Noted = Callable[[], str]


@pytest.fixture
def noted(repository: Repository, github: GitHub) -> Noted:
    """Commit the work tree, open a pull request of `proposal`, and return the note."""

    def commit_and_open() -> str:
        repository.must("git", "add", "--all")
        repository.must("git", "commit", "--quiet", "--allow-empty", "--message", "A proposal")
        opened = PullRequest(repository.folder)
        opened.open(github)
        return note(7, opened.head)

    return commit_and_open


def test_gates(repository: Repository, noted: Noted) -> None:
    assert noted() == ""
    edit(repository, "params.yaml", "seed: 2013", "seed: 1")
    assert noted() == ""
    edit(repository, "params.yaml", "threshold: 0.5", "threshold: 0.9")
    assert noted() == f"{SAID}gates: `params.yaml`.{END}"
    (repository.folder / "params.yaml").unlink()
    assert noted() == f"{SAID}gates: `params.yaml`.{END}"


def test_params_are_moved_away_and_back(repository: Repository, noted: Noted) -> None:
    repository.must("git", "mv", "params.yaml", "benchmarks.yaml")
    assert noted() == f"{SAID}gates: `params.yaml`; may shadow the machinery: `benchmarks.yaml`.{END}"
    repository.must("git", "mv", "benchmarks.yaml", "params.yaml")
    assert noted() == ""


def test_params_become_a_link(repository: Repository, noted: Noted) -> None:
    """The contents are the same; but whoever changes them from then on changes another file."""
    (repository.folder / "reports").mkdir()
    repository.must("git", "mv", "params.yaml", "reports/params.yaml")
    (repository.folder / "params.yaml").symlink_to("reports/params.yaml")
    assert noted() == f"{SAID}gates: `params.yaml`.{END}"


def test_params_that_cannot_be_read(repository: Repository, noted: Noted, github: GitHub) -> None:
    (repository.folder / "params.yaml").write_bytes(PARAMS.encode() + b"# \xff\n")
    assert noted() == f"{SAID}gates: `params.yaml`.{END}"
    (repository.folder / "params.yaml").write_text(PARAMS + "# a comment\n" * 10_000, encoding="utf-8")
    assert noted() == f"{SAID}gates: `params.yaml`.{END}"
    (repository.folder / "params.yaml").write_text(PARAMS + "# a comment\n", encoding="utf-8")
    assert noted() == ""
    github.refused = {"contents/params.yaml"}
    assert noted() == f"{SAID}gates: `params.yaml`.{END}"


def test_main_has_moved_on(repository: Repository, noted: Noted) -> None:
    """What main changes is not the proposal's; what main has and the proposal takes back is."""
    edit(repository, "params.yaml", "seed: 2013", "seed: 1")
    assert noted() == ""
    repository.must("git", "switch", "--quiet", "main")
    edit(repository, "params.yaml", "threshold: 0.5", "threshold: 0.6")
    repository.commit("Another threshold")
    repository.must("git", "switch", "--quiet", "proposal")
    assert noted() == ""
    repository.must("git", "merge", "--quiet", "--no-edit", "main")
    assert noted() == ""
    edit(repository, "params.yaml", "threshold: 0.6", "threshold: 0.5")
    assert noted() == f"{SAID}gates: `params.yaml`.{END}"


def test_several_pages_of_files(repository: Repository, noted: Noted) -> None:
    folder = repository.folder / "benchmarks"
    folder.mkdir()
    for number in range(250):
        (folder / f"{number}.md").write_text(f"{number}\n", encoding="utf-8")
    (repository.folder / "tests").mkdir()
    (repository.folder / "tests/test_it.py").write_text("# the last in the list\n", encoding="utf-8")
    assert noted() == f"{SAID}tests: `tests/test_it.py`.{END}"


def test_more_files_than_github_lists(repository: Repository, noted: Noted) -> None:
    folder = repository.folder / "benchmarks"
    folder.mkdir()
    for number in range(3_000):
        (folder / f"{number}.md").write_text(f"{number}\n", encoding="utf-8")
    (repository.folder / "tests").mkdir()
    (repository.folder / "tests/test_it.py").write_text("# the last in the list\n", encoding="utf-8")
    assert noted() == INCOMPLETE + END
    (folder / "0.md").unlink()
    assert noted() == f"{INCOMPLETE} tests: `tests/test_it.py`.{END}"
    (folder / "1.md").unlink()
    assert noted() == f"{SAID}tests: `tests/test_it.py`.{END}"


def test_github_lists_fewer_than_it_counts(
    repository: Repository, noted: Noted, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repository.folder / "README.md").write_text("One\n", encoding="utf-8")
    (repository.folder / "NOTES.md").write_text("Another one\n", encoding="utf-8")
    assert noted() == ""
    monkeypatch.setattr(contents, "_MOST_FILES", 1)
    assert noted() == INCOMPLETE + END


def test_github_does_not_answer(repository: Repository, noted: Noted, github: GitHub) -> None:
    edit(repository, "params.yaml", "threshold: 0.5", "threshold: 0.9")
    for path in ("pulls/7/files", "pulls/7"):
        github.refused = {path}
        assert noted().startswith(UNKNOWN)
        assert "`HTTP Error 403: Forbidden`" in noted()
    github.refused.clear()
    assert noted().startswith(SAID)


@pytest.mark.parametrize("answer", [b"", b"?\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n["])
def test_github_breaks_off(github: GitHub, monkeypatch: pytest.MonkeyPatch, answer: bytes) -> None:
    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(4096)
            self.request.sendall(answer)

    with socketserver.TCPServer(("127.0.0.1", 0), Handler) as broken:
        thread = threading.Thread(target=broken.handle_request)
        thread.start()
        monkeypatch.setenv("GITHUB_API_URL", f"http://127.0.0.1:{broken.server_address[1]}")
        assert note(7, "f" * 40).startswith(UNKNOWN)
        thread.join()
    assert github.asked == []


def test_the_pull_request_moves_on_while_it_is_looked_at(repository: Repository, noted: Noted) -> None:
    noted()
    before = repository.must("git", "rev-parse", "proposal").strip()
    edit(repository, "params.yaml", "threshold: 0.5", "threshold: 0.9")
    noted()
    assert "has new commits" in note(7, before)
