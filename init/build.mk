# Included by the Makefile. The one native program: static, so that it runs in any engine's image.
INIT_CFLAGS := -std=c11 -Wall -Wextra -Werror

.PHONY: init init-sanitized
init: dist/quorate-init ## Build quorate-init, PID 1 of an engine's container
init-sanitized: dist/quorate-init-sanitized

dist/quorate-init: init/quorate-init.c
	@mkdir -p $(@D)
	cc $(INIT_CFLAGS) -O2 -static -o $@ $<

# For the fuzz test only: address and undefined-behaviour sanitizers abort on the first finding.
dist/quorate-init-sanitized: init/quorate-init.c
	@mkdir -p $(@D)
	cc $(INIT_CFLAGS) -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -o $@ $<
