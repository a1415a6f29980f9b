from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migratable.errors import LabError
from migratable.lab import sources
from migratable.lab.releases import RELEASES, debian_pocket, find_release, packages_of
from migratable.lab.sources import Mirror, mirrors, parse_deb822, parse_one_line

DEB822 = """\
Types: deb deb-src
# a comment in the middle
URIs: http://one.example/debian http://two.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /keys/debian.gpg

Types: deb
URIs: http://one.example/security
Suites: bookworm-security
Components: main

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main

Types: deb-src
URIs: http://source.example/debian
Suites: bookworm
Components: main

Types: deb
URIs: https://third.example/apt
Suites: stable-thing
Components: main
"""

ONE_LINE = """\
# deb http://commented.example/debian bookworm main
deb cdrom:[Debian GNU/Linux 12]/ bookworm main
deb [arch=amd64 signed-by=/keys/one.gpg trusted=yes] http://one.example/debian bookworm main # x
deb http://one.example/security bookworm-security main non-free
deb-src http://one.example/debian bookworm main
deb https://third.example/apt ./
deb https://third.example/apt cloud-sdk-bookworm main
nonsense
"""


def test_deb822() -> None:
    found = parse_deb822(DEB822, "x.sources")
    assert mirrors(found) == [
        Mirror(uri="http://one.example/debian", signed_by="/keys/debian.gpg"),
        Mirror(uri="http://two.example/debian", signed_by="/keys/debian.gpg"),
    ]
    assert mirrors(found, "security") == [Mirror(uri="http://one.example/security")]


def test_one_line() -> None:
    found = parse_one_line(ONE_LINE, "sources.list")
    assert mirrors(found) == [
        Mirror(uri="http://one.example/debian", signed_by="/keys/one.gpg", trusted=True)
    ]
    assert [source.place for source in found if source.has_pocket("security")] == ["sources.list:4"]


def test_a_key_in_the_configuration(tmp_path: Path) -> None:
    text = (
        "Types: deb\nURIs: http://m.example/debian\nSuites: trixie\nComponents: main\n"
        "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQINBF\n"
        " -----END PGP PUBLIC KEY BLOCK-----\n"
    )
    (mirror,) = mirrors(parse_deb822(text))
    written = sources.write(mirror, "forky", tmp_path)
    key = (tmp_path / "mirror-key.asc").read_text()
    assert key == (
        "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQINBF\n-----END PGP PUBLIC KEY BLOCK-----\n"
    )
    assert f"Signed-By: {tmp_path}/mirror-key.asc" in written
    assert "Suites: forky" in written


def test_both_forms_are_read_and_other_files_are_not(tmp_path: Path) -> None:
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    (tmp_path / "sources.list").write_text("deb http://a.example/debian trixie main\n")
    (parts / "b.sources").write_text(DEB822)
    (parts / "c.list").write_text("deb http://c.example/debian trixie main\n")
    (parts / "d.list.save").write_text("deb http://d.example/debian trixie main\n")
    found = [one.uri for one in mirrors(sources.read(tmp_path / "sources.list", parts))]
    assert found[0] == "http://a.example/debian"
    assert "http://c.example/debian" in found
    assert "http://d.example/debian" not in found


def test_nothing_configured(tmp_path: Path) -> None:
    assert sources.read(tmp_path / "none", tmp_path / "none.d") == []


def test_no_keyring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "KEYRING", tmp_path / "none.gpg")
    mirror = Mirror(uri="http://m.example/debian")
    with pytest.raises(LabError, match="install the package debian-archive-keyring"):
        sources.write(mirror, "forky", tmp_path)
    with pytest.raises(LabError, match=r"the keyring .*named\.gpg is not there"):
        sources.write(mirror, "forky", tmp_path, tmp_path / "named.gpg")
    named = tmp_path / "named.gpg"
    named.touch()
    assert f"Signed-By: {named}" in sources.write(mirror, "forky", tmp_path, named)
    configured = Mirror(uri="http://m.example/debian", signed_by=f"{named}")
    assert f"Signed-By: {named}" in sources.write(configured, "forky", tmp_path)


def test_a_trusted_mirror_stays_so_unless_a_keyring_is_named(tmp_path: Path) -> None:
    mirror = Mirror(uri="file:/mirror", trusted=True)
    assert "Trusted: yes" in sources.write(mirror, "forky", tmp_path)
    keyring = tmp_path / "k.gpg"
    keyring.touch()
    assert "Trusted" not in sources.write(mirror, "forky", tmp_path, keyring)


@given(st.text(max_size=200))
def test_any_text_is_read(text: str) -> None:
    for source in [*parse_one_line(text), *parse_deb822(text)]:
        assert isinstance(source.uri, str)


def test_suites() -> None:
    assert debian_pocket("bookworm") == ""
    assert debian_pocket("bullseye/updates") == "updates"
    assert debian_pocket("stable-security") == "security"
    for other in ("noble", "cloud-sdk-bookworm", "bookworm-pgdg", "nodistro", "./"):
        assert debian_pocket(other) is None, other


def test_releases() -> None:
    for release in RELEASES:
        assert find_release(release.name) is release
        assert debian_pocket(release.suite) == ""
        assert release.security is None or debian_pocket(release.security) == "security"
    other = find_release("12.0=sid")
    assert (other.name, other.suite) == ("12.0", "sid")
    with pytest.raises(LabError, match=r"no Debian suite is known for QEMU 9\.2; known are 5\.2"):
        find_release("9.2")
    for wrong in ("10", "ten", "10.0=", "../5.2", "10.0=../x", "", "5.2.0"):
        with pytest.raises(LabError, match="is not a QEMU release"):
            find_release(wrong)


def test_packages() -> None:
    assert packages_of("ppc64") == ("qemu-system-ppc",)
    assert packages_of("s390x") == ("qemu-system-s390x", "qemu-system-misc")
    with pytest.raises(
        LabError, match="no package is known for qemu-system-vax; known are aarch64"
    ):
        packages_of("vax")
