/** RabbitMQ as this host has it: Debian's package, whose scripts and modules are where the Engine looks for them. */
import { existsSync } from "node:fs";

/** Whether this host has it; without it these tests cannot run. */
export const hasRabbitmq = existsSync("/usr/lib/rabbitmq/bin/rabbitmq-server") && existsSync("/usr/bin/erlc");
