import type { Flag } from './flags.js'

/** Flags that say where the configuration comes from. */
export const configFlags: readonly Flag[] = [
  { name: 'config', short: 'c', placeholder: 'FILE', help: 'YAML file with settings; see examples/castellan.yaml' },
  {
    name: 'set',
    placeholder: 'NAME=VALUE',
    isRepeatable: true,
    help: 'any setting of docs/configuration.md, e.g. delivery.timeoutMs=60000'
  },
  { name: 'debug', help: 'log everything, and show stacks of errors' }
]

/** Flags of commands that are clients of a cluster somebody else runs. */
export const clientFlags: readonly Flag[] = [
  {
    name: 'brokers',
    short: 'b',
    placeholder: 'HOST:PORT,…',
    help: 'bootstrap brokers (default: those of the configuration, else 127.0.0.1:9092)',
    setting: ['clusters', 'default', 'brokers']
  },
  { name: 'cluster', placeholder: 'NAME', help: 'which of the clusters of the configuration (default: default)' },
  { name: 'timeout', placeholder: 'SECONDS', help: 'how long to wait for a broker to answer (default 10)' },
  ...configFlags
]
