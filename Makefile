# SPDX-License-Identifier: GPL-2.0
#
# What a person types. The module's own build rules are in Kbuild; everything that needs more than
# make and bash happens in the sandbox (scripts/sandbox.sh), a Debian 13 with the stock kernel's
# tree, outside this checkout. Nothing is written beside the sources: all output is in build/.

# A kernel tree of one's own: make KDIR=/path/to/tree. It must be prepared, with Rust.
KDIR ?=
SANDBOX = scripts/in-sandbox

# The compiler that the kernel was built with, as its configuration tells.
kernel_cc = $(shell sed -n 's/^CONFIG_CC_VERSION_TEXT="\([^ ]*gcc[^ ]*\) .*/\1/p' $(KDIR)/.config 2>/dev/null)
# CLIPPY=1, W=1 and the like reach the kernel's build by themselves: make hands its command line on.
# TEST=1 makes a module of which tests can kill nodes at certain steps, beside the ordinary one.
objects = build$(if $(filter command,$(origin TEST)),/test)
kbuild = $(MAKE) -C $(KDIR) M=$(CURDIR) MO=$(CURDIR)/$(objects) \
	$(if $(LLVM)$(filter command line environment,$(origin CC)),,$(addprefix CC=,$(kernel_cc)))

.PHONY: module test-module sandbox shell demo bench test test-slow test-tcp soak check clean help rust-analyzer

ifeq ($(KDIR),)
module:
	@$(SANDBOX) make --no-print-directory KDIR=/kdir $(MAKEOVERRIDES) module
else
module:
	@grep -qs '^CONFIG_RUST=y' $(KDIR)/.config || { \
		echo 'error: $(KDIR) is no prepared kernel tree with CONFIG_RUST=y' >&2; exit 1; }
	@mkdir -p $(objects)
	@$(kbuild) --no-print-directory modules
endif

test-module:
	@$(MAKE) --no-print-directory TEST=1 module

# Reads a client's capture; a plain program of the sandbox.
build/wirecheck: $(wildcard selftests/wirecheck/*.rs)
	@mkdir -p build
	@$(SANDBOX) rustc -O --edition 2021 -o /src/$@ /src/selftests/wirecheck/main.rs

# Programs of the benchmark, which run in guests.
build/bench/%: $(addprefix selftests/bench/,%.c meter.c meter.h)
	@mkdir -p build/bench
	@$(SANDBOX) gcc -O2 -Wall -Wextra -o /src/$@ $(addprefix /src/,$(filter %.c,$^))

sandbox:
	@scripts/sandbox.sh

shell: module
	@scripts/guest --shell 'insmod /src/build/tcp_failover.ko'

demo: module build/wirecheck
	@scripts/demo

# SHORT=1 for a shorter one, PROFILE=download for where its instructions go.
# On real machines (BENCH=hw) a module and a compiler of one's own do: MODULE=, and cc on the client.
bench: $(if $(filter hw,$(BENCH)),$(if $(MODULE),,module build/bench/load),module build/bench/load build/bench/repair)
	@scripts/bench

test: module test-module build/wirecheck
	@selftests/test.sh

test-slow: module test-module build/wirecheck build/bench/load
	@selftests/test.sh slow commit hw hw_crash million lockdep

# For so many minutes.
MINUTES ?= 10
soak: module build/wirecheck
	@scripts/guest --name soak 'MINUTES=$(MINUTES) $(if $(SEED),SEED=$(SEED)) /src/selftests/soak.sh'

test-tcp: module build/wirecheck
	@scripts/test-tcp

check:
	@scripts/check

rust-analyzer: module
	@scripts/rust-analyzer

clean:
	@rm -rf build

help:
	@echo 'make               build/tcp_failover.ko for the stock kernel of the sandbox'
	@echo 'make KDIR=TREE     the same for a prepared kernel tree of your own, without the sandbox'
	@echo 'make sandbox       only set the sandbox up (KVER=7.3.4 picks a kernel)'
	@echo 'make demo          a download survives the death of its server (DEMO=upload, DEMO=many)'
	@echo 'make bench         what protection costs (SHORT=1, PROFILE=requests)'
	@echo '                   or BENCH=takeover|retry|memory, by the clock on the wall;'
	@echo '                   BENCH=hw: on real machines over ssh, Documentation/bench_hw.rst'
	@echo 'make test          the tests'
	@echo 'make test-slow     those that take long: many kinds of connections, networks and hosts'
	@echo 'make test-tcp      those over IPv4 and IPv6, and the table of them, Documentation/tcp.rst'
	@echo 'make soak          crashes and handovers under random load, MINUTES=10 of them'
	@echo 'make TEST=1        build/test/tcp_failover.ko, in which tests can kill a node at a certain step'
	@echo 'make check         formatting, lints, layers, shell scripts, documents'
	@echo 'make shell         a guest with the module loaded, to look around; exit powers it off'
	@echo 'make rust-analyzer rust-project.json for an editor'
	@echo 'make clean         remove build/ (the sandbox stays; it is in $$TCPFO_SANDBOX)'
