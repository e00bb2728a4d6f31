import type { ApiCommand } from '../command.js'

/** `castellan kafboy`: kafboy's API by the configuration file of kafboy and ekaf. */
export const kafboyCommand: ApiCommand = {
  name: 'kafboy',
  summary: "runs kafboy's API alone, by the configuration file of kafboy and ekaf",
  flags: [
    { flags: '-c, --config <FILE>', description: 'Erlang configuration with sections kafboy and ekaf (default: none)' },
    { flags: '-p, --port <PORT>', description: "kafboy's port (default: kafboy_http_port, else 8000)" },
    { flags: '--embedded', description: 'the embedded broker, and not ekaf_bootstrap_broker' }
  ],
  notes:
    'The file is one that erl takes with -config: [{kafboy, […]}, {ekaf, […]}]. with the defaults of both. It listens on\n' +
    '127.0.0.1 only, unless clients can authenticate or --allow-anonymous is given. Callbacks are modules of JavaScript:\n' +
    '--set apis.kafboy.callbackEditJson=hooks.js. What has no effect is said at the start.',
  examples: [
    'castellan kafboy --config sys.config --allow-anonymous',
    'castellan kafboy --port 8001 --brokers kafka-1:9092,kafka-2:9092',
    'castellan kafboy --config sys.config --print-config'
  ],
  translate: async given => (await import('./compat/sys-config.js')).translateKafboy(given)
}
