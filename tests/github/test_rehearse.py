from tests.repository import ROOT, Repository, change_params, with_estimator


def test_rehearsal_of_a_working_tree(proposing: Repository) -> None:
    """What is not committed yet is proposed, too; and nothing of it is touched."""
    (proposing.folder / ".venv").symlink_to(ROOT / ".venv")
    change_params(proposing, **with_estimator(proposing, max_iter=60, learning_rate=0.05))
    (proposing.folder / "new.txt").write_text("not even added\n", encoding="utf-8")
    state = [("git", "status", "--porcelain"), ("git", "for-each-ref"), ("git", "diff", "--cached")]
    before = [proposing.must(*command) for command in state]
    done = proposing.run("python", "-m", "tests.github.rehearse")
    assert done.returncode == 0, done.stdout
    comment = (proposing.folder / "artifacts/rehearsal/comment.md").read_text(encoding="utf-8")
    assert comment in done.stdout
    assert comment.startswith("## ✅ Better than the model in production\n")
    assert "| `new.txt` | 1 | 0 |" in comment
    assert (proposing.folder / "artifacts/rehearsal/artifacts/plots/plots.html").exists()
    assert [proposing.must(*command) for command in state] == before
