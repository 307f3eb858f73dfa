"""A mail server for the tests: TLS from the first byte, and a login. What it does depends on the recipient.

Arguments: the paths of its certificate and key. Prints its port, then each message that it has accepted, as JSON."""
import asyncio
import email
import email.policy
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

REPLIES = {
    "refused": "550 5.1.1 No such user",
    "plainly-refused": "550 No such user here",
    "spam": "550 5.7.1 Not accepted",
    "greylisted": "451 4.7.1 Try again later",
    "full": "552 5.2.2 Mailbox full",
}


def say(value):
    print(json.dumps(value), flush=True)


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        reply = REPLIES.get(address.split("@")[0])
        if reply:
            return reply
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        to = envelope.rcpt_tos[0]
        name = to.split("@")[0]
        if name == "dies":
            server.transport.abort()
            return "250 never seen"
        if name == "hangs":
            await asyncio.sleep(60)
        if name == "goes-on":
            return "354 Go on"
        if name == "rejected":
            return "554 5.6.0 Message content rejected"
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        parts = {part.get_content_type(): part.get_content() for part in message.walk() if not part.is_multipart()}
        say({"to": to, "from": message["from"], "subject": message["subject"], "id": message["message-id"], **parts})
        return "250 OK"


def authenticate(server, session, envelope, mechanism, data):
    # Unhandled, so that the server itself answers 535.
    return AuthResult(success=data.login == b"bank" and data.password == b"secret", handled=False)


async def main(certificate, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    loop = asyncio.get_running_loop()

    def serve():
        return SMTP(Handler(), authenticator=authenticate, auth_required=True, auth_require_tls=False, loop=loop)

    server = await loop.create_server(serve, "127.0.0.1", 0, ssl=context)
    say(server.sockets[0].getsockname()[1])
    await server.serve_forever()


asyncio.run(main(*sys.argv[1:]))
