# What people run: make demo, make test, make lint. On a machine with Rust, make, a C compiler and apt the rest is
# installed as it is needed.

CARGO ?= cargo

.PHONY: demo test lint bench bench-tls soak slow fuzz setup release

demo: setup
	$(CARGO) run --release --quiet -- demo

test: setup
	$(CARGO) test --all-targets
	$(CARGO) test --doc

lint: setup
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --document-private-items

release: setup
	$(CARGO) build --release

# Instruction by instruction: what the pieces cost (criterion).
bench: setup
	$(CARGO) bench

# What TLS costs the release build as a process: handshakes, requests, idle connections.
bench-tls: release
	@for tool in openssl:openssl wrk:wrk h2load:nghttp2-client python3:python3; do \
	  command -v $${tool%%:*} >/dev/null || missing="$$missing $${tool##*:}"; \
	done; \
	if [ -n "$$missing" ]; then \
	  if [ "$$(id -u)" = 0 ]; then sudo=; else sudo=sudo; fi; \
	  $$sudo apt-get update -qq && $$sudo apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	fi
	bench/tls.py

# The long form of what runs short in `make test`: 200,000 random pairs of configuration and request, 40,000 WebSockets.
soak: setup
	ONEDOOR_SOAK=1 $(CARGO) test --release --test it explain_says
	ONEDOOR_SOAK=1 $(CARGO) test --release --test it loses_no_websocket

# Each target of fuzz/ in turn for this long, with cargo-fuzz and a nightly compiler. What one finds goes to
# fuzz/finds/<target>, where `make test` plays it again. FUZZ_TARGETS picks some.
FUZZ_SECONDS ?= 600
FUZZ_TARGETS ?= wire head path config token proxy_header

fuzz: setup
	@cargo fuzz --version >/dev/null 2>&1 || $(CARGO) install cargo-fuzz --locked
	@for target in $(FUZZ_TARGETS); do \
	  mkdir -p fuzz/corpus/$$target; \
	  cargo +nightly fuzz run $$target --fuzz-dir fuzz fuzz/corpus/$$target fuzz/seeds/$$target -- \
	    -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=4096 || exit 1; \
	done

# The long form of another: 2,000 slow clients of each kind at once, against the release build.
slow: setup
	ONEDOOR_SLOW=1 $(CARGO) test --release --test process slow_clients -- --nocapture

# cmake and a C compiler build the compression libraries that Pingora brings along; curl, gRPC and WebSockets in Python
# are what users would use; tests of shared rate limits start a redis-server of their own, and those of ACME a pebble
# (a CA).
setup:
	@for tool in cmake cc curl redis-server pebble; do \
	  command -v $$tool >/dev/null || missing="$$missing $$tool"; \
	done; \
	/usr/bin/python3 -c 'import grpc, websockets' 2>/dev/null || missing="$$missing python3-grpcio python3-websockets"; \
	if [ -n "$$missing" ]; then \
	  echo "installing what is missing:$$missing"; \
	  if [ "$$(id -u)" = 0 ]; then sudo=; else sudo=sudo; fi; \
	  $$sudo apt-get update -qq && $$sudo apt-get install -y -qq --no-install-recommends cmake gcc libc6-dev curl redis-server \
	    python3-grpcio python3-websockets pebble >/dev/null; \
	fi
