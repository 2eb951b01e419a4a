# Everything a contributor or a pipeline runs. `make` alone explains itself.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
# The licence, source and duplicate checker, kept inside target/ unless it's installed already.
DENY_VERSION := 0.20.2
DENY := $(shell command -v cargo-deny || echo target/tools/bin/cargo-deny)
# Rounds and seconds per round of `make bench`.
ROUNDS ?= 5
SECONDS ?= 2
# Tests that leave something out (a tool is missing) append a line here; `make test` ends with them.
export TRACEGATE_SKIPPED := $(CURDIR)/target/skipped.txt
# Program → Debian package that has it.
TOOLS := etcd:etcd-server etcdctl:etcd-client containerd:containerd nginx:nginx haproxy:haproxy wrk:wrk h2load:nghttp2-client \
         curl:curl openssl:openssl ip:iproute2 valgrind:valgrind taskset:util-linux cc:gcc \
         kubectl:kubernetes-client systemd-analyze:systemd

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## run everything embedded: components, proxies, traffic, spans in the terminal
	$(CARGO) run --release --locked -- demo

.PHONY: build
build: ## build the optimised program: target/release/tracegate
	$(CARGO) build --release --locked

.PHONY: test
test: deps check ## install what is missing, check, run every test, say what was skipped
	@mkdir -p target && : > $(TRACEGATE_SKIPPED)
	$(CARGO) test --locked --no-fail-fast 2>&1 | tee target/test.log
	@echo
	@echo "== left out =="
	@{ grep -hE '^test .* \.\.\. ignored' target/test.log || true; \
	   cat $(TRACEGATE_SKIPPED) target/check-skipped.txt 2>/dev/null || true; \
	   for tool in $(TOOLS); do \
	     PATH="$$PATH:/usr/sbin:/sbin" command -v "$${tool%%:*}" >/dev/null || echo "program missing: $${tool%%:*}"; \
	   done; } | sort -u | sed 's/^/  /' | grep . || echo "  nothing"

.PHONY: test-kubernetes
test-kubernetes: ## against a real control plane: KUBEBUILDER_ASSETS names a folder with kube-apiserver, etcd, kubectl
	@mkdir -p target && : > $(TRACEGATE_SKIPPED)
	$(CARGO) test --locked --test kubernetes -- --nocapture --test-threads 1
	@sed 's/^/left out: /' $(TRACEGATE_SKIPPED)

.PHONY: check
check: fmt clippy doc deny ## formatting, lints, documentation, licences and duplicates

.PHONY: fmt
fmt:
	$(CARGO) fmt --check

.PHONY: clippy
clippy: # first as it ships: tests bring features of libraries that it mustn't lean on
	$(CARGO) clippy --locked -- -D warnings
	$(CARGO) clippy --locked --all-targets -- -D warnings

.PHONY: doc
doc:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --document-private-items

# Advisories need a database that is kept in git; without a way to it that one check is left out.
.PHONY: deny
deny: | $(DENY)
	@mkdir -p target && : > target/check-skipped.txt
	$(DENY) --log-level warn --locked check bans licenses sources
	@if timeout 60 $(DENY) --log-level off fetch db >/dev/null 2>&1; then \
	  $(DENY) --log-level warn --locked check --disable-fetch advisories; \
	else \
	  echo "security advisories: not checked, their database can't be fetched" | tee target/check-skipped.txt; \
	fi

target/tools/bin/cargo-deny:
	$(CARGO) install --locked --root target/tools --target-dir target/tools/build --version $(DENY_VERSION) cargo-deny
	rm -rf target/tools/build

.PHONY: bench
bench: deps ## CPU per request beside nginx, HAProxy and a byte forwarder (ROUNDS=5 SECONDS=2)
	$(CARGO) bench --locked --bench proxies -- --rounds $(ROUNDS) --seconds $(SECONDS)

# The suite is W3C's: `python3 test/test.py http://127.0.0.1:5000/test` in a checkout of w3c/trace-context.
.PHONY: conformance
conformance: ## what the W3C Trace Context suite is run against: proxies and app, until Ctrl-C
	$(CARGO) build --locked --bin tracegate --example w3c-app
	@trap 'kill $$(jobs -p)' EXIT; \
	target/debug/examples/w3c-app 127.0.0.1:5001 127.0.0.1:5002 & \
	target/debug/tracegate run --config config/w3c-conformance.yaml

.PHONY: deps
deps: ## install the programs that tests and benchmarks use (Debian, as root)
	@missing=(); \
	for tool in $(TOOLS); do \
	  PATH="$$PATH:/usr/sbin:/sbin" command -v "$${tool%%:*}" >/dev/null || missing+=("$${tool##*:}"); \
	done; \
	if [ "$${#missing[@]}" -eq 0 ]; then exit 0; fi; \
	install="apt-get install -y --no-install-recommends $${missing[*]}"; \
	if ! command -v apt-get >/dev/null; then \
	  echo "missing, install by hand (Debian's names): $${missing[*]}"; \
	elif [ "$$(id -u)" -ne 0 ]; then \
	  echo "missing; as root: apt-get update && $$install"; \
	else \
	  export DEBIAN_FRONTEND=noninteractive; apt-get update -q && $$install; \
	fi
