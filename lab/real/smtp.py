# smtp.py PORT TLSPORT CERT KEY DIR USER PASSWORD: a mail server on 127.0.0.1, with faults to order (DIR/fault).
import asyncio, os, ssl, sys, time
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

port, tls_port, cert, key, folder, user, password = int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:8]
count = 0


def fault():
    try:
        with open(folder + "/fault") as f:
            return f.read().strip()
    except OSError:
        return ""


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if not session.authenticated:
            return "554 5.7.1 relaying denied"
        if address.startswith("nobody@"):
            return "550 5.1.1 no such mailbox"
        if address.startswith("full@"):
            return "452 4.2.2 mailbox full"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server, session, envelope):
        global count
        what = fault()
        if what[:1] in ("4", "5"):
            return what
        if what == "stall":
            await asyncio.sleep(3600)
        for address in envelope.rcpt_tos:
            count += 1
            name = f"{folder}/mail/{address}.{count:06d}"
            part = f"{folder}/mail/-{count:06d}"  # who looks for an address does not find it
            with open(part, "wb") as f:
                f.write(envelope.original_content)
            os.rename(part, name)
        if what == "drop":
            server.transport.abort()
        return "250 2.0.0 queued"


def auth(server, session, envelope, mechanism, data):
    ok = isinstance(data, LoginPassword) and (data.login.decode(), data.password.decode()) == (user, password)
    return AuthResult(success=ok, handled=False, auth_data=data)


tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain(cert, key)
common = dict(hostname="127.0.0.1", server_hostname="localhost", ident="lab", authenticator=auth, enable_SMTPUTF8=True)
Controller(Handler(), port=port, tls_context=tls, require_starttls=True, auth_require_tls=True, **common).start()
Controller(Handler(), port=tls_port, ssl_context=tls, auth_require_tls=False, **common).start()
while True:
    time.sleep(3600)
