"""Calls bank.v1.Bank/Transfer; where it is refused, steps up by a code and repeats the call once.

Against `cargo run -p grpc --example tonic`, whose code is 123456:

    python3 -m pip install grpcio-tools googleapis-common-protos
    python3 -m grpc_tools.protoc -Iproto --python_out=gen --grpc_python_out=gen bank/v1/bank.proto stepup/v1/step_up.proto
    PYTHONPATH=gen python3 examples/grpc/snippets/step_up.py 127.0.0.1:50051 alice-1
"""

import json
import sys

import grpc
from bank.v1 import bank_pb2, bank_pb2_grpc
from google.rpc import error_details_pb2, status_pb2
from stepup.v1 import step_up_pb2, step_up_pb2_grpc

WRONG = ("VERIFICATION_CODE_INVALID", "ONE_CHALLENGE_LIMIT_REMAINING")


class Cancelled(Exception):
    """The user does not want to step up."""


class Spent(Exception):
    """This very call has passed before: ask the user before it is approved again."""


def error_info(error):
    """The google.rpc.ErrorInfo in the details of a status, or None."""
    metadata = dict(error.trailing_metadata() or ())
    status = status_pb2.Status.FromString(metadata.get("grpc-status-details-bin", b""))
    info = error_details_pb2.ErrorInfo()
    return info if any(detail.Unpack(info) for detail in status.details) else None


def with_step_up(call, request, session, step_up, ask):
    """Calls; where a step-up is required, has the user do it and calls once more. A second refusal is raised."""
    try:
        return call(request, metadata=session)
    except grpc.RpcError as error:
        info = error_info(error)
        if error.code() != grpc.StatusCode.PERMISSION_DENIED or info is None or info.reason != "STEP_UP_REQUIRED":
            raise
        required = dict(info.metadata)
    if required.get("reason") == "spent":
        raise Spent(required.get("spentAt"))
    step_up_by_code(step_up, session, required, ask)
    return call(request, metadata=session)


def step_up_by_code(step_up, session, required, ask):
    """Starts a code for what the refusal asks for, and verifies what the user types."""
    # The metadata are strings: lists and objects in it are JSON. What is absent is not asked for.
    channel = json.loads(required["channels"])["otp"][0]
    purpose = {name: required[name] for name in ("scope", "binding") if name in required}
    step_up.StartOtp(step_up_pb2.StartOtpRequest(channel=channel, **purpose), metadata=session)
    while True:
        code = ask(required.get("operation"), channel)
        if not code:
            step_up.CancelOtp(step_up_pb2.CancelOtpRequest(channel=channel), metadata=session)
            raise Cancelled
        try:
            request = step_up_pb2.VerifyOtpRequest(channel=channel, verification_code=code, **purpose)
            step_up.VerifyOtp(request, metadata=session)
            return
        except grpc.RpcError as error:
            info = error_info(error)
            if info is None or info.reason not in WRONG:
                raise


def ask(operation, channel):
    """The code that the user types; nothing where they do not want to."""
    if operation:
        print(f"To approve: {operation}")
    return input(f"Code from {channel} (empty to cancel): ").strip()


def main():
    address, login = sys.argv[1:]
    with grpc.insecure_channel(address) as channel:
        bank = bank_pb2_grpc.BankStub(channel)
        step_up = step_up_pb2_grpc.StepUpStub(channel)
        session = [("authorization", f"Bearer {login}")]
        transfer = bank_pb2.TransferRequest(to="bob", amount=10)
        answer = with_step_up(bank.Transfer, transfer, session, step_up, ask)
        print(f"\npassed: {answer.id}, approved by {answer.approved_by}")


if __name__ == "__main__":
    main()
