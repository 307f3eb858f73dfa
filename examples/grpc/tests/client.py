"""Steps up against `cargo run -p grpc --example tonic`, with nothing but grpcio and the .proto files: client.py ADDRESS [USER]

Needs grpcio-tools and googleapis-common-protos.
"""

import json
import sys
import tempfile
from pathlib import Path

import grpc
from google.rpc import error_details_pb2, status_pb2
from grpc_tools import protoc

PROTO = Path(__file__).resolve().parents[3] / "proto"
generated = tempfile.TemporaryDirectory()
files = ["stepup/v1/step_up.proto", "bank/v1/bank.proto"]
assert protoc.main(["", f"-I{PROTO}", f"--python_out={generated.name}", f"--grpc_python_out={generated.name}", *files]) == 0
sys.path.insert(0, generated.name)

from bank.v1 import bank_pb2, bank_pb2_grpc  # noqa: E402
from stepup.v1 import step_up_pb2, step_up_pb2_grpc  # noqa: E402

address = sys.argv[1]
user = sys.argv[2] if len(sys.argv) > 2 else "alice"
channel = grpc.insecure_channel(address)
bank = bank_pb2_grpc.BankStub(channel)
step_up = step_up_pb2_grpc.StepUpStub(channel)


def session(name):
    return [("authorization", f"Bearer {name}")]


def details(error):
    """The google.rpc details of a refusal, by the name of their type."""
    metadata = dict(error.trailing_metadata())
    assert metadata["cache-control"] == "no-store", metadata
    assert len(metadata["request-ref"]) == 32, metadata
    assert metadata["x-stepup-sandbox"] == "true", metadata
    status = status_pb2.Status.FromString(metadata["grpc-status-details-bin"])
    assert status.code == error.code().value[0] and status.message == error.details()
    found = {}
    for any_ in status.details:
        name = any_.TypeName().rsplit(".", 1)[1]
        found[name] = getattr(error_details_pb2, name)()
        assert any_.Unpack(found[name])
    return found


def refused(code, reason, call, *args, **kwargs):
    """Calls, and expects a refusal with this code and this ErrorInfo.reason."""
    try:
        call(*args, **kwargs)
    except grpc.RpcError as error:
        found = details(error)
        info = found["ErrorInfo"]
        assert (error.code(), info.reason) == (code, reason), error
        assert info.domain == "bank.example", info
        print(f"{code.name:20} {reason:20} {dict(info.metadata)}")
        return found
    raise AssertionError(f"{code} {reason} expected, but it passed")


Code = grpc.StatusCode
transfer = bank_pb2.TransferRequest(to="bob", amount=10)
one, two = session(f"{user}-1"), session(f"{user}-2")


def verify(code, metadata):
    request = step_up_pb2.VerifyOtpRequest(channel="SMS", verification_code=code)
    return step_up.VerifyOtp(request, metadata=metadata)


# Not logged in: only open methods pass.
refused(Code.UNAUTHENTICATED, "UNAUTHORIZED", bank.Transfer, transfer)
refused(Code.UNAUTHENTICATED, "UNAUTHORIZED", step_up.Status, step_up_pb2.StatusRequest())
assert len(bank.Accounts(bank_pb2.AccountsRequest(), metadata=one).accounts) == 1

# Refused: the response names the accepted channels.
info = refused(Code.PERMISSION_DENIED, "STEP_UP_REQUIRED", bank.Transfer, transfer, metadata=one)["ErrorInfo"]
assert info.metadata["reason"] == "missing", info
assert json.loads(info.metadata["channels"]) == {"otp": ["SMS"], "push": ["BIOMETRIC"]}, info

# Start. A second start is refused, with the time to wait.
_, call = step_up.StartOtp.with_call(step_up_pb2.StartOtpRequest(channel="SMS"), metadata=one)
assert dict(call.initial_metadata())["cache-control"] == "no-store"
start = step_up_pb2.StartOtpRequest(channel="SMS")
wait = refused(Code.FAILED_PRECONDITION, "RETRY_IN_15SEC", step_up.StartOtp, start, metadata=one)["RetryInfo"]
assert 0 < wait.retry_delay.seconds <= 15, wait

# A malformed code, a wrong code and the correct one.
bad = refused(Code.INVALID_ARGUMENT, "INVALID_REQUEST", verify, "12345x", one)["BadRequest"]
assert [(field.field, field.description) for field in bad.field_violations] == [("verification_code", "REGEX")]
refused(Code.FAILED_PRECONDITION, "VERIFICATION_CODE_INVALID", verify, "000000", one)
refused(Code.PERMISSION_DENIED, "STEP_UP_REQUIRED", bank.Transfer, transfer, metadata=one)
verify("123456", one)

# It passes, for this session and for no other.
answer = bank.Transfer(transfer, metadata=one)
assert answer.approved_by == "SMS", answer
print(f"passed: {answer.id}, approved by {answer.approved_by}")
status = step_up.Status(step_up_pb2.StatusRequest(), metadata=one)
assert status.status == step_up_pb2.LEVEL_STEPPED_UP and len(status.grants) == 1, status
refused(Code.PERMISSION_DENIED, "STEP_UP_REQUIRED", bank.Transfer, transfer, metadata=two)
refused(Code.FAILED_PRECONDITION, "STATE_INVALID", verify, "123456", two)

# A user without an enrollment cannot start; a dropped elevation no longer passes.
refused(Code.FAILED_PRECONDITION, "CHANNEL_NOT_REGISTERED", step_up.StartOtp, start, metadata=session("bob-1"))
step_up.Drop(step_up_pb2.DropRequest(), metadata=one)
refused(Code.PERMISSION_DENIED, "STEP_UP_REQUIRED", bank.Transfer, transfer, metadata=one)
print("done")
