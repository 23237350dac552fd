"""What must not stand in the tree: this machine's paths, registries' hosts, secrets, big files."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
BIGGEST = 1_000_000

# Written so that this file does not match itself.
FORBIDDEN = {
    "an absolute path of somebody's machine": r"(?<![\w.~}])/(?:work|root|home/\w+|Users/\w+)/",
    "the host of a package registry": (
        r"(?:files\.)?pythonhosted[.]org|pypi[.]org/simple|registry[.]npmjs|repo1?[.]maven|deb[.]debian[.]org|"
        r"proxy[.]golang|static[.]crates"
    ),
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY",
    "an access key": r"\b(?:AKIA[0-9A-Z]{16}|gh[pousr]_\w{36}|xox[abpr]-\w{10}|sk_live_\w{10}|glpat-\w{20})",
}


def tracked() -> list[Path]:
    """The files that git has."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: only what is committed is looked at")
    listed = subprocess.run([git, "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def found(text: str) -> list[str]:
    """What of FORBIDDEN stands in ``text``, with its place."""
    return [
        f"{number}: {what}: {match[0]}"
        for number, line in enumerate(text.splitlines(), start=1)
        for what, pattern in FORBIDDEN.items()
        if (match := re.search(pattern, line))
    ]


def test_nothing_of_this_machine_and_no_secret() -> None:
    """A clone works anywhere and gives nothing away."""
    wrong = []
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture
        wrong += [f"{path.relative_to(ROOT)}:{line}" for line in found(text)]
    assert not wrong, "\n".join(wrong)


def test_no_big_files() -> None:
    """What can be fetched or generated is not committed."""
    assert [str(path.relative_to(ROOT)) for path in tracked() if path.stat().st_size > BIGGEST] == []


def test_links_between_our_documents_lead_somewhere() -> None:
    """A newcomer follows them."""
    broken = [
        f"{path.relative_to(ROOT)}: {target}"
        for path in tracked()
        if path.suffix == ".md"
        for target in re.findall(r"\]\((?!\w+:)([^)#\s]+)", path.read_text(encoding="utf-8"))
        if not (path.parent / target).exists()
    ]
    assert broken == []


@pytest.mark.parametrize(
    "text",
    [
        "open('/ro" + "ot/.m2/settings.xml')",
        "cd /wo" + "rk/main",
        "index-url = https://py" + "pi.org/simple",
        "AKIA" + "ABCDEFGHIJKLMNOP",
        "-----BEGIN RSA " + "PRIVATE KEY-----",
    ],
)
def test_the_check_finds_them(text: str) -> None:
    """The check itself."""
    assert len(found(text)) == 1


@pytest.mark.parametrize("text", ["GET /v1/work/items", "https://example.com/home/page/", "tests/work/x"])
def test_the_check_leaves_others_alone(text: str) -> None:
    """Routes and relative paths are not machines."""
    assert found(text) == []
