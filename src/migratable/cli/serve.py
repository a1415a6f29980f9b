"""``migratable serve``: the same answers over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

_SIZE = click.IntRange(min=1)
_SECONDS = click.FloatRange(min=1.0)


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8765,
    show_default=True,
    help="Port to listen on; 0 takes a free one.",
)
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File whose first line is the token that clients must show; or MIGRATABLE_TOKEN.",
)
@click.option(
    "--tls",
    nargs=2,
    metavar="CERTIFICATE KEY",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Serve HTTPS with these PEM files.",
)
@click.option(
    "--max-stream", type=_SIZE, default=1024, show_default=True, help="Largest stream, MiB."
)
@click.option(
    "--max-profile", type=_SIZE, default=64, show_default=True, help="Largest profile, MiB."
)
@click.option("--memory", type=_SIZE, default=1024, show_default=True, help="MiB for a check.")
@click.option(
    "--timeout", type=_SECONDS, default=60.0, show_default=True, help="Seconds for a check."
)
@click.option(
    "--idle",
    type=_SECONDS,
    default=15.0,
    show_default=True,
    help="Seconds that a client may pause while it sends a request or reads the answer.",
)
@click.option("--workers", type=_SIZE, help="Checks at the same time.  [default: one per CPU]")
@click.option(
    "--temporary",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Folder for uploads while they are checked.  [default: the system's]",
)
@click.option(
    "--fleet",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Show this fleet file's matrix at /, refreshed when older than 30 s.",
)
def command(
    host: str,
    port: int,
    token_file: Path | None,
    tls: tuple[Path, Path] | None,
    max_stream: int,
    max_profile: int,
    memory: int,
    timeout: float,
    idle: float,
    workers: int | None,
    temporary: Path | None,
    fleet: Path | None,
) -> None:
    r"""Answer over HTTP: POST a stream to /check?to=PROFILE, get the verdict as JSON.

    The destinations are this machine's stored and bundled profiles. By default serve listens on
    loopback only; on any other address clients must send a token. / is a page of the pairs that
    clients asked about, or of the fleet; /openapi.json describes the API. On SIGTERM serve answers
    the requests in progress, then ends.

    \b
    migratable serve
    curl -H 'Content-Type: application/octet-stream' --data-binary @guest.mig \
         'http://127.0.0.1:8765/check?to=host7'
    """
    from migratable.errors import ServiceError

    try:
        from migratable.serve.server import run
        from migratable.serve.settings import Limits, Settings, read_token
    except ImportError as error:
        raise ServiceError(
            f"serve needs the Python package {error.name}: pip install 'migratable[serve]'"
        ) from None
    more: dict[str, Any] = {} if workers is None else {"workers": workers}
    settings = Settings(
        host=host,
        port=port,
        token=read_token(token_file),
        tls=tls,
        temporary=temporary,
        fleet=fleet,
        limits=Limits(
            stream=max_stream << 20,
            profile=max_profile << 20,
            memory=memory << 20,
            check_time=timeout,
            idle_time=idle,
            header_time=idle,
            **more,
        ),
    )
    from migratable.serve.settings import is_loopback

    def started(address: str) -> None:
        click.echo(f"serving {address}", err=True)
        if tls is None and not is_loopback(host):
            click.echo(
                f"warning: {host} without --tls: the token, streams and profiles cross the "
                "network unencrypted",
                err=True,
            )

    run(settings, started=started)
