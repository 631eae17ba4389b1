"""The commit of a source checkout, read from the files of git."""

import subprocess

from mutransfer.records.provenance import checkout_commit

SHA = "0123456789abcdef" * 2 + "01234567"


def test_the_commit_agrees_with_git_for_loose_packed_and_detached_heads(tmp_path) -> None:
    def git(*arguments: str) -> str:
        line = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
        return subprocess.check_output(line, cwd=tmp_path, text=True).strip()

    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "one")
    (tmp_path / "src" / "deep").mkdir(parents=True)
    for prepare in ([], ["pack-refs", "--all"], ["checkout", "-q", "--detach"]):
        git(*prepare) if prepare else None
        assert checkout_commit(tmp_path / "src" / "deep") == git("rev-parse", "HEAD")


def test_a_linked_worktree_has_the_commit_of_its_own_branch(tmp_path) -> None:
    def git(folder: str, *arguments: str) -> str:
        line = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
        return subprocess.check_output(line, cwd=tmp_path / folder, text=True).strip()

    (tmp_path / "main").mkdir()
    git("main", "init", "-q")
    git("main", "commit", "-q", "--allow-empty", "-m", "one")
    git("main", "worktree", "add", "-q", "-b", "other", "../linked")
    git("linked", "commit", "-q", "--allow-empty", "-m", "two")
    assert checkout_commit(tmp_path / "linked") == git("linked", "rev-parse", "HEAD")
    assert checkout_commit(tmp_path / "linked") != git("main", "rev-parse", "HEAD")


def test_outside_of_a_checkout_there_is_no_commit(tmp_path) -> None:
    assert checkout_commit(tmp_path) is None


def test_a_head_that_is_not_a_commit_is_not_recorded(tmp_path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "secret").write_text("password")
    for head, commit in (
        (SHA, SHA),
        ("password", None),
        ("ref: ../secret", None),
        ("ref: x", None),
    ):
        (tmp_path / ".git" / "HEAD").write_text(head + "\n")
        assert checkout_commit(tmp_path) == commit
