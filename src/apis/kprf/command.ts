import type { ApiCommand } from '../command.js'

/** `castellan kprf`: kprf's API by kprf's configuration file. */
export const kprfCommand: ApiCommand = {
  name: 'kprf',
  summary: "runs kprf's API alone, by kprf's configuration file",
  flags: [
    { flags: '-c, --config <FILE>', description: "kprf's configuration file: .yaml, .json, .toml, .ini or .hjson" },
    { flags: '-b, --brokers <HOST:PORT,…>', description: 'the Kafka cluster, instead of kafka.brokers' },
    { flags: '--embedded', description: 'the embedded broker, and not kafka.brokers' }
  ],
  notes:
    "The file has kprf's keys and defaults: POST /push on port 4242, /metrics on port 8088, log lines as JSON to\n" +
    'output_file, which is opened again on SIGHUP. It listens on 127.0.0.1 only, unless clients can authenticate or\n' +
    '--allow-anonymous is given.',
  examples: [
    'castellan kprf --config config.yaml --allow-anonymous',
    'castellan kprf --config config.yaml --print-config',
    'castellan kprf --config config.toml --embedded'
  ],
  translate: async given => (await import('./compat/kprf-file.js')).translateKprf(given)
}
