"""A real SMTP server (aiosmtpd) on loopback for the tests.

Usage: smtp_server.py MODE FOLDER. Prints its port on the first line, writes each message that it took
to FOLDER/N.eml and its recipients to FOLDER/N.to, and stops when standard input ends. The certificate
of its authority is FOLDER/ca.pem. A mode `starttls-login/DEED/STAGE` drops the connection, or falls silent, once at
that stage after STARTTLS.
"""

import asyncio
import pathlib
import ssl
import sys

import trustme
from aiosmtpd.smtp import SMTP, AuthResult

mode, folder = sys.argv[1], pathlib.Path(sys.argv[2])
mode, deed, stage = (mode.split("/") + ["", ""])[:3]


class Handler:
    def __init__(self):
        self.taken = 0
        self.asked = 0

    async def reach(self, server, session, where):
        global stage
        if where != stage or not session.ssl:
            return
        stage = ""
        if deed == "drop":
            server.transport.abort()
        else:
            await asyncio.sleep(3600)

    async def handle_EHLO(self, server, session, envelope, hostname, responses):
        session.host_name = hostname
        await self.reach(server, session, "ehlo")
        return responses

    async def handle_MAIL(self, server, session, envelope, address, options):
        await self.reach(server, session, "mail")
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        self.asked += 1
        await self.reach(server, session, "rcpt")
        if mode == "refuse":
            return "550 5.1.1 no such user"
        if mode == "greylist" and self.asked == 1:
            return "451 4.7.1 greylisted, come back later"
        if mode == "down":
            return "421 4.3.2 going down"
        if mode == "drop-before-data":
            server.transport.abort()
            return "250 OK"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if mode == "refuse-content":
            return "554 5.6.0 content refused"
        self.taken += 1
        (folder / f"{self.taken}.eml").write_bytes(envelope.original_content)
        (folder / f"{self.taken}.to").write_text("\n".join(envelope.rcpt_tos))
        await self.reach(server, session, "after-data")
        if mode == "drop-after-data":
            server.transport.abort()
        return "250 OK"


def login(server, session, envelope, mechanism, data):
    good = data.login == b"ann" and data.password == "gehäim/1".encode()
    return AuthResult(success=good, handled=good)


async def main():
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    options = {}
    if mode == "starttls-login":
        options = {
            "tls_context": context,
            "require_starttls": True,
            "auth_required": True,
            "authenticator": login,
        }
    handler = Handler()
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(handler, enable_SMTPUTF8=True, **options),
        host="127.0.0.1",
        port=0,
        ssl=context if mode == "tls" else None,
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())
