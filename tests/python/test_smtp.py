"""Mail over encrypted connections and with a login: a real SMTP server with a certificate of an authority that the lake is told to trust."""

import socket
import ssl

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from harness import free_port, wait_until

FLOW = """
[[flow]]
name   = "in"
from   = "s3://raw/in/"
to     = "processed.in_data"
notify = ["mailto:ops@example.com"]

[smtp]
host     = "localhost"
port     = {port}
from     = "lake@example.com"
tls      = "{tls}"
username = "lake"
"""


class SecureSmtp:
    """Takes mail only from `lake` with the right password, and only encrypted."""

    def __init__(self, mode, context):
        server = self
        self.received, self.logins = [], []

        class Keep:
            async def handle_DATA(self, _server, session, envelope):
                server.received.append((session.ssl is not None or mode == "tls", session.authenticated, envelope.content))
                return "250 OK"

        def login(_server, _session, _envelope, _mechanism, data):
            server.logins.append((data.login, data.password))
            return AuthResult(success=(data.login, data.password) == (b"lake", b"right"))

        how = {"ssl_context": context} if mode == "tls" else {"tls_context": context, "require_starttls": True}
        more = {"authenticator": login, "auth_required": True, "auth_require_tls": mode != "tls"}
        self.port = free_port()
        self.controller = Controller(Keep(), hostname="127.0.0.1", port=self.port, server_hostname="localhost", **how, **more)
        if mode == "tls":
            self.controller._trigger_server = self.knock
        self.controller.start()

    def knock(self):
        """The controller's own look whether it is up: over TLS, whoever the server is."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection(("127.0.0.1", self.port), 1.0) as plain, context.wrap_socket(plain) as wrapped:
            wrapped.recv(1024)


@pytest.fixture
def authority(tmp_path):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    authority.path = tmp_path / "authority.pem"
    return authority


@pytest.fixture
def secure(authority):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    servers = []

    def start(mode):
        servers.append(SecureSmtp(mode, context))
        return servers[-1]

    yield start
    for server in servers:
        server.controller.stop()


@pytest.mark.parametrize("mode", ["starttls", "tls"])
def test_mail_goes_out_encrypted_and_with_a_login(new_lake, secure, authority, monkeypatch, mode):
    smtp = secure(mode)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.path))
    monkeypatch.setenv("MILLPOND_SMTP_PASSWORD", "right")
    lake = new_lake(FLOW.format(port=smtp.port, tls=mode))
    lake.put("raw", "in/a.csv", "id,name\n1,x\n2,y\n")
    wait_until(lambda: smtp.received, what="the mail")
    encrypted, authenticated, content = smtp.received[0]
    assert encrypted and authenticated and b"added 2 rows" in content
    assert set(smtp.logins) == {(b"lake", b"right")}


def test_a_server_that_nobody_vouches_for_gets_no_mail_and_no_password(new_lake, secure, monkeypatch):
    smtp = secure("starttls")
    monkeypatch.setenv("MILLPOND_SMTP_PASSWORD", "right")
    lake = new_lake(FLOW.format(port=smtp.port, tls="starttls"))
    lake.put("raw", "in/a.csv", "id,name\n1,x\n")
    wait_until(lambda: "a task failed" in lake.log(200), what="the refusal in the log")
    assert smtp.received == [] and smtp.logins == []
    assert lake.sql("select count(*) from processed.in_data") == [["1"]], "the lake goes on"
