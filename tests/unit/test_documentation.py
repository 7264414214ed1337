"""What the pages say of links, options and commands is so."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from hydria import cli, settings

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path
    for folder in (ROOT, *(ROOT / name for name in ("docs", "bench", "tests")))
    for path in (folder.glob("*.md") if folder == ROOT else folder.rglob("*.md"))
)
# Libraries' own options, which stand in the same file.
FOREIGN = {
    "keystone_authtoken",
    "oslo_messaging_notifications",
    "oslo_policy",
    "audit_middleware_notifications",
}
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def anchors(page: Path) -> set[str]:
    """What a heading is called in a link, as GitHub makes it."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        found = (page.parent / file).resolve() if file else page
        assert found.exists(), target
        assert not anchor or anchor in anchors(found), target


def test_every_page_is_in_the_index() -> None:
    docs = ROOT / "docs"
    index = docs / "README.md"
    linked = {(docs / target).resolve() for target in re.findall(r"\]\(([^)#]+)", index.read_text())}
    assert {page for page in docs.rglob("*.md") if page != index and page.parent not in linked} == linked & {
        *docs.rglob("*.md")
    }


def mentioned_options(text: str) -> Iterator[tuple[str, str]]:
    """(group, option) of `[group] option`, and of the lines below [group] in an indented or fenced block."""
    yield from re.findall(r"`\[(\w+)\]\s+(\w+)", text)
    group = ""
    for line in text.splitlines():
        if heading := re.fullmatch(r"\s*\[(\w+)\]", line):
            group = heading[1]
        elif group and (option := re.fullmatch(r"\s*(\w+) = .*", line)):
            yield group, option[1]
        else:
            group = ""


@each_page
def test_options_exist(page: Path) -> None:
    known = {group: {option.name for option in options} for group, options in settings.list_options()}
    for group, option in mentioned_options(page.read_text()):
        assert group in FOREIGN or option in known.get(group, ()), f"[{group}] {option}"


def commands(text: str) -> Iterator[list[str]]:
    """The words of each `hydria …` in a line of a block, or in backticks."""
    line = r"^(?:    |\$ |# )?(?:\.venv/bin/)?hydria (.+?)(?: [>&|].*)?$"
    found = re.findall(line, text, re.MULTILINE) + re.findall(r"`(?:\.venv/bin/)?hydria ([^`]+)`", text)
    for each in found:
        words = re.split(r"\s+", each.strip())
        if words[-1] not in ("…", "...") and not re.search(r"[|…]", each):
            yield words


def accepted(words: list[str], parser: argparse.ArgumentParser) -> None:
    """Raise AssertionError unless each word that names a command, or an option, is one of the parser's."""
    options = {option: action for action in parser._actions for option in action.option_strings}
    nested = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    rest = iter(words)
    for word in rest:
        if word.startswith("-"):
            assert word in options, word
            if options[word].nargs != 0:
                next(rest, None)
        elif nested:
            assert word in nested[0].choices, word
            return accepted(list(rest), nested[0].choices[word])
    return None


@each_page
def test_commands_are_accepted(page: Path) -> None:
    for words in commands(page.read_text()):
        accepted(words, cli._parser())


def test_the_readme_works_from_any_shell() -> None:
    """Nobody has told a shell where Hydria's commands are."""
    page = (ROOT / "README.md").read_text()
    assert "\n    .venv/bin/hydria cleanup --state-dir .state\n" in page
    assert not re.findall(r"^    hydria .*", page, re.MULTILINE)


def test_the_pages_have_what_is_looked_for() -> None:
    text = "\n".join(page.read_text() for page in PAGES)
    assert len(set(mentioned_options(text))) > 40
    assert {words[0] for words in commands(text)} >= {
        "all",
        "certificate",
        "cleanup",
        "db",
        "status",
        "worker",
    }


@pytest.mark.parametrize(
    "words", ["certificat list", "certificate lst", "all --state DIR", "cleanup --everything"]
)
def test_what_is_no_command_is_found(words: str) -> None:
    with pytest.raises(AssertionError):
        accepted(words.split(), cli._parser())


def test_what_is_no_option_is_found() -> None:
    text = "`[certificates] renewal` and\n\n    [netns]\n    cpus = 3\n"
    assert list(mentioned_options(text)) == [("certificates", "renewal"), ("netns", "cpus")]
