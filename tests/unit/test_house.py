"""What holds for every file of the repository."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click
import grimp
import pytest

import migratable.cli
from migratable import __version__
from migratable.check import rules
from migratable.cli import cli
from migratable.errors import MigratableError
from migratable.verdict import Basis, Finding, Hint, Outcome, Refusal, Severity, Side, Verdict

# Names that must not be in a tracked file are put together here, as this is one.
HOSTS = re.compile(
    "|".join(
        (
            r"deb\." + "debian" + r"\.org",
            r"archive\." + "debian" + r"\.org",
            r"snapshot\." + "debian" + r"\.org",
            r"security\." + "debian" + r"\.org",
            r"files\.pythonhosted" + r"\.org",
            r"pypi" + r"\.(?:org|io)",
            r"pkg" + r"\.dev/",
            r"proxy\.golang" + r"\.org",
        )
    )
)
PLACES = re.compile(
    "|".join(
        f"/{place}"
        for place in (
            "opt/q" + "lab",
            "work/" + "main",
            "work/" + "shared",
            "root/" + r"\.",
            "opt/" + "pypi",
        )
    )
)
MODULE_LINES = 600
# Modules that do something when they are imported, because they are only ever run.
SCRIPTS = ("migratable.__main__", "migratable.qemu.launcher")


def _tracked(repository: Path) -> list[Path]:
    command = ["git", "-C", str(repository), "ls-files", "-z"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is no git checkout")
    paths = [repository / name for name in done.stdout.split("\0") if name]
    return [path for path in paths if path.is_file()]


def _texts(repository: Path) -> dict[str, str]:
    found = {}
    for path in _tracked(repository):
        content = path.read_bytes()
        if b"\0" not in content[:8192]:
            found[str(path.relative_to(repository))] = content.decode("utf-8", "replace")
    assert len(found) > 30
    return found


def _hits(repository: Path, pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{name}:{number}: {found[0]}"
        for name, text in _texts(repository).items()
        for number, line in enumerate(text.splitlines(), 1)
        if (found := pattern.search(line))
    ]


def test_no_registry_or_mirror_is_named(repository: Path) -> None:
    assert _hits(repository, HOSTS) == []


def test_no_place_of_a_developers_machine_is_named(repository: Path) -> None:
    assert _hits(repository, PLACES) == []


def test_the_lock_names_versions_and_nothing_else(repository: Path) -> None:
    lines = (repository / "requirements/ci.lock").read_text().splitlines()
    pinned = [line for line in lines if not line.startswith("#")]
    assert len(pinned) > 10
    assert [line for line in pinned if not re.fullmatch(r"[\w.-]+==[\w.!+-]+", line)] == []


def test_the_lock_has_all_that_is_asked_for(repository: Path) -> None:
    lock = (repository / "requirements/ci.lock").read_text().lower().replace("_", "-")
    asked = subprocess.run(
        [sys.executable, "tools/lock.py", "--print"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    names = [re.split(r"[<>=~!\[;]", word)[0].lower().replace("_", "-") for word in asked]
    assert len(names) > 8
    assert [name for name in names if f"\n{name}==" not in lock] == []


def test_modules_are_of_a_size_to_be_read(repository: Path) -> None:
    sizes = {
        name: text.count("\n") for name, text in _texts(repository).items() if name.endswith(".py")
    }
    assert {name: size for name, size in sizes.items() if size > MODULE_LINES} == {}


def test_no_large_file_is_tracked(repository: Path) -> None:
    large = {str(path): path.stat().st_size for path in _tracked(repository)}
    assert {name: size for name, size in large.items() if size > 2_000_000} == {}


def _commands(command: click.Command, path: str) -> list[tuple[str, click.Command]]:
    found = [(path, command)]
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=path)
        for name in command.list_commands(context):
            sub = command.get_command(context, name)
            assert sub is not None, name
            found += _commands(sub, f"{path} {name}")
    return found


def test_every_command_says_what_it_is_for() -> None:
    """Every command has help, and so has every option; the short help ends as a sentence does."""
    for path, command in _commands(cli, "migratable"):
        assert command.help, path
        assert command.get_short_help_str(200).endswith((".", "?", "!")), path
        assert "\\b" not in command.help, path  # click's mark, not two letters
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                assert parameter.help or isinstance(parameter.type, click.Choice), (
                    path,
                    parameter.name,
                )


def test_every_module_of_the_command_line_is_a_command() -> None:
    names = [found.name for found in pkgutil.iter_modules(migratable.cli.__path__)]
    commands = [name for name in names if not name.startswith("_")]
    assert commands
    for name in commands:
        module = importlib.import_module(f"migratable.cli.{name}")
        assert module.__doc__, name
        assert isinstance(module.command, click.Command), name


def test_rules_are_named_by_their_files() -> None:
    for found in pkgutil.iter_modules(rules.__path__):
        if not found.name.startswith("_"):
            module = importlib.import_module(f"{rules.__name__}.{found.name}")
            assert module.__doc__, found.name
            assert module.RULE.id == found.name.replace("_", "-")


def test_every_member_of_the_verdict_is_documented(repository: Path) -> None:
    hint = Hint(action="x")
    finding = Finding(rule="x", severity=Severity.INFO, summary="x", hints=(hint,))
    verdict = Verdict(
        outcome=Outcome.REFUSED,
        basis=Basis.PREDICTED,
        first_refusal=Refusal(rule="x", message="x"),
        findings=(finding,),
    )
    text = (repository / "docs/reference/json.md").read_text()
    whole = verdict.to_json()
    parts = [whole, whole["first_refusal"], whole["findings"][0], whole["findings"][0]["hints"][0]]
    members = {name for part in parts for name in part}
    assert len(members) > 15
    assert {name for name in members if f"`{name}`" not in text} == set()
    for values in (Outcome, Basis, Severity, Side):
        assert {value for value in values if f'`"{value}"`' not in text} == set()


def test_errors_are_ours_down_to_the_last() -> None:
    """The tree that is drawn in the docstring is the one that is there."""
    text = migratable.errors.__doc__ or ""
    for module in pkgutil.walk_packages(migratable.__path__, "migratable."):
        if module.name not in SCRIPTS:
            importlib.import_module(module.name)
    found = [MigratableError]
    for one in found:
        found += one.__subclasses__()
    drawn = set(re.findall(r"\w+Error\b", text))
    assert {one.__name__ for one in found} == drawn


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "migratable", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_version_imports_little() -> None:
    """The budget for the start is kept by what is imported, which no other load disturbs."""
    code = "import sys, migratable.cli; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"rich", "jinja2", "asyncio", "qemu", "platformdirs", "sqlite3", "importlib.metadata"}
    assert heavy & set(done.stdout.split()) == set()
    assert _run("--version").stdout == f"migratable, version {__version__}\n"


def test_a_failure_never_looks_like_an_answer(tmp_path: Path) -> None:
    assert _run("nonesuch").returncode == 2
    assert _run("lab", "path", "1.0").returncode == 2
    assert _run("lab", "path", "1.0").stdout == ""


BUG = """
import sys, click
from migratable.cli import cli, main
@click.command("bug")
def bug():
    raise {what}
cli.get_command = lambda ctx, name: bug
sys.argv = ["migratable", "bug"]
main()
"""


@pytest.mark.parametrize(
    ("what", "status", "words"),
    [
        ("ZeroDivisionError", 2, "this is a bug of migratable"),
        ("KeyboardInterrupt", 130, ""),
        ("BrokenPipeError", 141, ""),
        ("SystemExit(3)", 3, ""),
        ("SystemExit(1)", 1, ""),
    ],
)
def test_a_bug_or_an_interruption_is_no_answer(what: str, status: int, words: str) -> None:
    command = [sys.executable, "-c", BUG.format(what=what)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == status
    assert words in done.stderr
    assert bool(words) == ("Traceback" in done.stderr)


def test_no_import_circles() -> None:
    """Module by module, imports inside functions and for types alone too."""
    graph = grimp.build_graph("migratable", cache_dir=None)
    imported = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert _circles(imported) == []


def _circles(imported: dict[str, set[str]]) -> list[list[str]]:
    """Strongly connected components of more than one module (Tarjan)."""
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        number[module] = lowest[module] = len(number)
        stack.append(module)
        for other in sorted(imported[module]):
            if other not in number:
                visit(other)
                lowest[module] = min(lowest[module], lowest[other])
            elif other in stack:
                lowest[module] = min(lowest[module], number[other])
        if lowest[module] == number[module]:
            place = stack.index(module)
            if len(stack) - place > 1:
                found.append(stack[place:])
            del stack[place:]

    for module in sorted(imported):
        if module not in number:
            visit(module)
    return found


def test_every_explained_mutant_has_its_line(repository: Path) -> None:
    """The survivors that docs/explanation/mutants.md excuses are of code that is there."""
    from tools.mutate import known

    rows = known()
    assert rows
    for module, code, _ in rows:
        text = (repository / "src/migratable/check" / module).read_text(encoding="utf-8")
        assert code in text, (module, code)


def test_every_rule_id_is_one_of_the_rules() -> None:
    """``explain``, ``rehearse``, ``caps`` and the messages use the rules' ids and no others."""
    from migratable.check.registry import rules as known
    from migratable.explain.cases import cases
    from migratable.messages import messages
    from migratable.rehearse.verdict import CRASH, NOT_RECOGNISED, START

    used = {START, CRASH, NOT_RECOGNISED}
    used |= {message.rule for message in messages()} | {case.rule for case in cases()}
    for path in Path(migratable.cli.__file__).parents[1].rglob("*.py"):
        used |= set(re.findall(r'\brule="([a-z][a-z0-9-]*)"', path.read_text(encoding="utf-8")))
    assert len(used) > 40
    assert used - {""} <= set(known())


#: Words of QEMU, libvirt, the C library and bubblewrap that code looks for. Our own are codes.
OTHERS_WORDS = {
    "peer mode",
    ": starting up libvirt version",
    "Display devices:",
    "unsupported machine type",
    "Permission denied",
    "not found",
    ". Make sure that",
}


def test_nothing_is_left_over(repository: Path) -> None:
    """A function, class or constant that only its own definition names is nobody's any more."""
    folders = ("src", "tests", "tools", "docs", "benchmarks")
    tracked = [file for file in _tracked(repository) if file.suffix == ".py"]
    texts = {
        file: file.read_text()
        for file in tracked
        if file.relative_to(repository).parts[0] in folders
    }
    named = Counter(word for text in texts.values() for word in re.findall(r"\w+", text))
    alone = [
        f"{file.relative_to(repository)}: {name}"
        for file, text in texts.items()
        if "src" in file.relative_to(repository).parts
        for name in _defined(ast.parse(text))
        if named[name] < 2 and not name.startswith("__")
    ]
    assert not alone


def _defined(module: ast.Module) -> Iterator[str]:
    """Names that a module defines at its top and that no decorator has handed to somebody."""
    for node in module.body:
        match node:
            case ast.FunctionDef(name=name, decorator_list=[]) | ast.ClassDef(name=name):
                yield name
            case ast.Assign(targets=targets):
                yield from (one.id for one in targets if isinstance(one, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name


def test_no_code_reads_our_own_sentences(repository: Path) -> None:
    """A sentence can be worded better without a change of any verdict."""
    methods = {"startswith", "endswith", "removeprefix", "removesuffix", "partition", "rpartition"}
    looked_for = set()
    for path in (repository / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn):
                words = node.left
            elif (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in methods
                and node.args
            ):
                words = node.args[0]
            else:
                continue
            if isinstance(words, ast.Constant) and isinstance(words.value, str):
                looked_for.add(words.value)
    sentences = {words for words in looked_for if re.search(r"[A-Za-z]{2,} [a-z]{2,}", words)}
    assert sentences == OTHERS_WORDS
