"""`gateway login`: get a provider's key by signing in with the browser, in place of pasting one."""

from __future__ import annotations

import secrets
import threading
import time
import webbrowser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from gateway.cli import configuration
from gateway.cli.terminal import Mistake, bold
from gateway.kinds import KINDS

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.kinds import SignIn

USUAL = next(kind for kind in KINDS.values() if kind.sign_in is not None).usual_name
PATIENCE_S = 300.0
_LOOK_EVERY_S = 0.2
_PAGE = b"""<!doctype html><html lang="en"><meta charset="utf-8"><title>Gateway</title>
<body style="font: 1.1rem system-ui; margin: 3rem">
<p>%b You can close this page and go back to the terminal.</p>
</body></html>
"""


@click.command()
@click.argument("provider", default=USUAL)
@click.option("--port", type=click.IntRange(1, 65535), help="Where the browser brings the answer to. Default: any.")
@click.option("--no-browser", is_flag=True, help="Only print the address of the page.")
@configuration.config_option
def login(provider: str, port: int | None, path: Path | None, *, no_browser: bool) -> None:
    """Sign in to PROVIDER with the browser, and keep the key that it gives for this gateway.

    Providers that let programs do this: openrouter. The key goes to the state directory, in a file that only you can
    read; a running gateway uses it at once. A provider that is not configured yet is added.

    The browser must reach this machine as localhost. Over SSH, forward a port and name it: ssh -L 8491:localhost:8491,
    then --port 8491 --no-browser.
    """
    from gateway.cli.desk import Desktop, show
    from gateway.control.choice import keyed, option
    from gateway.errors import Refusal

    providers = configuration.read(path).directory.providers
    try:
        found = option(provider, providers)
    except Refusal as refused:
        raise Mistake(refused.message) from None
    kind = found.kind
    title = kind.title or kind.name
    if kind.sign_in is None:
        others = ", ".join(one.usual_name for one in KINDS.values() if one.sign_in is not None)
        raise Mistake(f"{title} gives no keys to programs; {' '.join(kind.guide) or 'make one on its website'}",
                      f"`gateway login` knows: {others}.")  # fmt: skip
    base_url = providers[provider].base_url if provider in providers else kind.base_url
    key = key_from_browser(kind.sign_in, base_url, title, port=port or 0, opens=not no_browser)
    done = Desktop(path).change(lambda view: keyed(found, key, view))
    show(done, f"{provider}: its key is kept", as_json=False)
    click.echo("`gateway check --online` tests it.")


def key_from_browser(sign_in: SignIn, base_url: str, title: str, *, port: int = 0, opens: bool = True) -> str:
    """Send the user to the provider's page, and return the key.

    `port`: of the callback on this machine; 0: any free one. `opens`: open the page, and do not only print its address.

    Raises:
        Mistake: the user or the provider refused, or did not answer.
    """
    import asyncio

    from gateway.core.sign_in import VERIFIER_BYTES, Refused, code_of, page_url, proof_of
    from gateway.upstream.sign_in import exchanged

    page, exchange = sign_in.urls(base_url)
    proof = proof_of(secrets.token_bytes(VERIFIER_BYTES))
    try:
        desk = _Callback(port)
    except OSError as error:
        raise Mistake(f"port {port} cannot be used: {error.strerror}; name another with --port") from None
    with desk:
        address = page_url(page, desk.url, proof)
        click.echo(f"Sign in to {title} in the browser of this machine:\n\n  {bold(address)}\n")
        if opens:
            # In a thread: a browser may be a command that runs until it is closed.
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        click.echo("Waiting (Ctrl-C gives up) ...")
        query = desk.wait(PATIENCE_S)
    if query is None:
        raise Mistake(f"there was no sign-in within {PATIENCE_S:g} s; run it again")
    try:
        return asyncio.run(exchanged(exchange, code_of(query), proof))
    except Refused as refused:
        raise Mistake(f"{title} gave no key: {refused}") from None


class _Callback(ThreadingHTTPServer):
    """Loopback listener for the redirect. Its path is random, so other programs on this machine cannot guess it."""

    daemon_threads = True  # a silent connection delays neither the answer nor the exit

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.timeout = _LOOK_EVERY_S
        self.path = f"/callback/{secrets.token_urlsafe(16)}"
        self.query: str | None = None

    @property
    def url(self) -> str:
        """Its address. "localhost": the provider takes that name with any port."""
        return f"http://localhost:{self.server_port}{self.path}"

    def wait(self, patience_s: float) -> str | None:
        """Return the query of the first answer; None: none came."""
        end = time.monotonic() + patience_s
        while self.query is None and time.monotonic() < end:
            self.handle_request()
        return self.query


class _Handler(BaseHTTPRequestHandler):
    server: _Callback
    timeout = 10.0

    def do_GET(self) -> None:
        """Take the answer, and say so in a page that repeats nothing of it."""
        asked = urlsplit(self.path)
        is_it = asked.path == self.server.path
        text = _PAGE % (b"Done." if "code=" in asked.query else b"No key was given.") if is_it else b"Not found\n"
        self.send_response(200 if is_it else 404)
        self.send_header("content-type", "text/html; charset=utf-8" if is_it else "text/plain")
        self.send_header("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'")
        self.send_header("content-length", str(len(text)))
        self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(text)
        if is_it:
            self.server.query = asked.query

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name of the base class
        """Say nothing: the request has the code."""
