# Every command sets up what it needs (scripts/setup), which takes no time when it is there.
.PHONY: help demo test test-debian13 test-haproxy check check-code check-unit check-property conformance bench audit docs run clean
bin := .venv/bin

help:  ## this list
	@sed -nE 's/^([a-z0-9-]+):.*## (.*)/make \1\t\2/p' Makefile | expand -t 20

demo: setup-demo  ## a load balancer on this machine, from the order to real traffic; ONCE=1 ends by itself
	$(bin)/python -m hydria.demo $(if $(ONCE),--once)

test: setup-test  ## all tests, with real servers and real traffic; ARGS='-k pool' for some
	$(bin)/python -m pytest $(ARGS)

# What meets daemons or the interpreter.
test-debian13:  ## what another release decides about, on Debian 13; ARGS=tests/system for others, ARGS=tests for all
	scripts/debian13 alone .venv/bin/python -m pytest $(or $(ARGS),tests/node tests/unit $(addprefix tests/contract/,\
		test_amphora_drivers.py test_certificate_drivers.py))

test-haproxy: setup-test  ## configurations, with HAProxy of Debian's experimental suite; ARGS for other tests
	PATH=$$(scripts/newer-haproxy):$$PATH $(bin)/python -m pytest $(or $(ARGS),$(wildcard tests/node/test_dataplane_*.py) tests/node/test_api_front.py)

check: setup-check  ## format, lint, types, layers, unit and property tests, sizes; about a minute
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=target check-unit check-code check-property
	$(bin)/python scripts/sizes src tests

check-code:
	$(bin)/ruff format --check
	$(bin)/ruff check
	$(bin)/mypy
	$(bin)/lint-imports
	$(bin)/python scripts/docs --check

check-unit check-property: check-%:
	$(bin)/python -m pytest -q tests/$*

conformance: setup-conformance  ## octavia-tempest-plugin's API tests and openstacksdk's functional ones; ARGS='tempest PoolAPITest' for some
	$(bin)/python -m tests.conformance $(ARGS)

bench: setup-bench  ## the figures that Hydria must reach, measured
	$(bin)/python -m bench $(ARGS)

audit: setup-check  ## what is installed against known faults; says so when the package index knows of none
	$(bin)/python scripts/audit $(ARGS)

docs: setup-check  ## the generated pages of the reference
	$(bin)/python scripts/docs $(ARGS)

run: setup-demo  ## all programs in one, with their state in .state
	$(bin)/hydria all --state-dir .state

clean:  ## remove what was built; .venv and .state stay
	rm -rf build dist src/*.egg-info .*_cache .hypothesis
	find src tests bench -name __pycache__ -prune -exec rm -rf {} +

# Before anything is installed.
setup-demo: as-root

.PHONY: as-root
as-root:
	@[ "$$(id -u)" -eq 0 ] || { echo 'make $(firstword $(MAKECMDGOALS)) needs root, for load balancers on this machine are namespaces and bridges: run it as root.' >&2; exit 1; }

setup-%:
	@scripts/setup $*
