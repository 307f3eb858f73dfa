"""Verifies webhooks: a JSON per line with secret, body and headers; prints `verified` or `refused` for each."""
import json
import sys

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

for line in sys.stdin:
    received = json.loads(line)
    try:
        Webhook(received["secret"]).verify(received["body"], received["headers"])
        print("verified")
    except WebhookVerificationError:
        print("refused")
