"""Calls grpc_service.py through a door: grpc_client.py ADDRESS [CA]. Ends with 0 if all is as it would be without."""

import queue
import sys

import grpc

OPTIONS = [("grpc.enable_http_proxy", 0)]
if len(sys.argv) > 2:
    credentials = grpc.ssl_channel_credentials(open(sys.argv[2], "rb").read())
    named = OPTIONS + [("grpc.ssl_target_name_override", "door.test"), ("grpc.default_authority", "door.test")]
    channel = grpc.secure_channel(sys.argv[1], credentials, named)
else:
    channel = grpc.insecure_channel(sys.argv[1], OPTIONS)

LONG = 20


def equal(got, expected):
    assert got == expected, f"{got!r} is not {expected!r}"


def failure(call):
    try:
        call()
    except grpc.RpcError as error:
        return error
    raise AssertionError("no error")


unary = channel.unary_unary("/test.Bytes/Unary")
answer, call = unary.with_call(b"hello", timeout=LONG, metadata=(("x-caller", "a test"),))
equal(answer, b"hello from a test")
equal(dict(call.initial_metadata())["x-initial"], "told at once")
equal(dict(call.trailing_metadata())["x-trailer"], "told at the end")
equal(unary(b"", timeout=LONG), b" from nobody")
large = bytes(range(256)) * 4096 * 3
equal(unary(large, timeout=LONG), large + b" from nobody")

# A status with trailers and no body, with words that have to be encoded.
error = failure(lambda: channel.unary_unary("/test.Bytes/Fail")("käse 100%".encode(), timeout=LONG))
equal((error.code(), error.details()), (grpc.StatusCode.NOT_FOUND, "nothing called käse 100%"))
equal(dict(error.trailing_metadata())["x-trailer"], "told at the end")

# A status after a message.
stream = channel.unary_stream("/test.Bytes/FailLate")(b"", timeout=LONG)
equal(next(stream), b"one")
error = failure(lambda: next(stream))
equal((error.code(), error.details()), (grpc.StatusCode.RESOURCE_EXHAUSTED, "after one"))

# What the service doesn't know, and what the door has no route for.
error = failure(lambda: channel.unary_unary("/test.Bytes/Nothing")(b"", timeout=LONG))
equal(error.code(), grpc.StatusCode.UNIMPLEMENTED)
error = failure(lambda: channel.unary_unary("/other.Service/Nothing")(b"", timeout=LONG))
equal(error.code(), grpc.StatusCode.UNIMPLEMENTED)

# Deadlines: the service knows of it, and nobody waits for longer.
left = float(channel.unary_unary("/test.Bytes/Remaining")(b"", timeout=LONG))
# gRPC rounds what it sends up.
assert 0 < left <= LONG + 1, left
error = failure(lambda: channel.unary_unary("/test.Bytes/Wait")(b"", timeout=0.3))
equal(error.code(), grpc.StatusCode.DEADLINE_EXCEEDED)

# Streams one way, the other way, and both ways at once.
numbers = list(channel.unary_stream("/test.Bytes/Count")(b"1000", timeout=LONG))
equal(numbers, [b"%d" % number for number in range(1000)])
equal(channel.stream_unary("/test.Bytes/Total")((b"x" * 1000 for _ in range(1000)), timeout=LONG), b"1000000")
said = queue.Queue()
heard = channel.stream_stream("/test.Bytes/Chat")(iter(said.get, None), timeout=LONG)
for turn in range(20):
    # Each is said only when the one before it was answered.
    said.put(b"turn %d" % turn)
    equal(next(heard), (b"turn %d" % turn)[::-1])
said.put(None)
equal(list(heard), [])
equal(heard.code(), grpc.StatusCode.OK)

# A call that is taken back leaves the others alone.
call = channel.unary_unary("/test.Bytes/Wait").future(b"", timeout=LONG)
call.cancel()
equal(call.code(), grpc.StatusCode.CANCELLED)
equal(unary(b"still there", timeout=LONG), b"still there from nobody")
channel.close()
