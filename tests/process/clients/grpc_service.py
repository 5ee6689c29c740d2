"""A gRPC service of bytes: grpc_service.py [CERT KEY]. Prints its port, and serves until its input ends."""

import sys
from concurrent import futures

import grpc

TRAILERS = (("x-trailer", "told at the end"),)


def unary(request, context):
    context.send_initial_metadata((("x-initial", "told at once"),))
    context.set_trailing_metadata(TRAILERS)
    told = dict(context.invocation_metadata())
    return b"%s from %s" % (request, told.get("x-caller", "nobody").encode())


def fail(request, context):
    context.set_trailing_metadata(TRAILERS)
    context.abort(grpc.StatusCode.NOT_FOUND, "nothing called " + request.decode())


def fail_late(request, context):
    yield b"one"
    context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "after one")


def remaining(request, context):
    left = context.time_remaining()
    return b"for ever" if left is None or left > 1e6 else b"%f" % left


def wait(request, context):
    """Ends only when the client has given up."""
    ended = futures.Future()
    if context.add_callback(lambda: ended.set_result(None)):
        ended.result(timeout=20)
    return b"too late"


def count(request, context):
    for number in range(int(request)):
        yield b"%d" % number


def total(requests, context):
    return b"%d" % sum(len(request) for request in requests)


def chat(requests, context):
    for request in requests:
        yield request[::-1]


METHODS = {
    "/test.Bytes/Unary": grpc.unary_unary_rpc_method_handler(unary),
    "/test.Bytes/Fail": grpc.unary_unary_rpc_method_handler(fail),
    "/test.Bytes/FailLate": grpc.unary_stream_rpc_method_handler(fail_late),
    "/test.Bytes/Remaining": grpc.unary_unary_rpc_method_handler(remaining),
    "/test.Bytes/Wait": grpc.unary_unary_rpc_method_handler(wait),
    "/test.Bytes/Count": grpc.unary_stream_rpc_method_handler(count),
    "/test.Bytes/Total": grpc.stream_unary_rpc_method_handler(total),
    "/test.Bytes/Chat": grpc.stream_stream_rpc_method_handler(chat),
}


class Service(grpc.GenericRpcHandler):
    def service(self, details):
        return METHODS.get(details.method)


server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
server.add_generic_rpc_handlers((Service(),))
if len(sys.argv) > 2:
    cert, key = (open(path, "rb").read() for path in sys.argv[1:3])
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, cert)]))
else:
    port = server.add_insecure_port("127.0.0.1:0")
server.start()
print(port, flush=True)
sys.stdin.read()
server.stop(None)
