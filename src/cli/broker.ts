import type { Command } from 'commander'
import { startEmbeddedBroker } from '../server/app/embedded.js'
import { createLogger } from '../server/app/logger.js'
import { loadConfig } from '../server/config/config.js'
import { aborted, EXIT_OK, type Process } from './command.js'
import { settingsOf } from './options.js'
import { usesColors } from './standard-output.js'

/** Runs the embedded broker until it is stopped. */
export async function runBroker(line: Command, { environment, stdout, stderr, stopped }: Process): Promise<number> {
  const { config: file, debug } = line.opts<{ config?: string; debug?: boolean }>()
  const config = loadConfig({ role: 'broker', file, environment, flags: settingsOf(line) })
  const log = createLogger({
    level: debug ? 'debug' : config.log.level,
    pretty: stderr.isTTY,
    colors: usesColors(stderr, environment),
    descriptor: 2
  })
  const cluster = await startEmbeddedBroker(
    config.embedded,
    '--port (embedded.port)',
    '--host (embedded.host)',
    message => log.warn({}, message)
  )
  stdout.write(`${cluster.bootstrap}\n`)
  log.info(
    { brokers: cluster.bootstrap, storage: config.embedded.directory ?? 'memory' },
    `embedded broker on ${cluster.bootstrap}, ${config.embedded.directory === undefined ? 'records in memory, gone at exit' : `records in ${config.embedded.directory}`}; for trying things, not for production`
  )
  await aborted(stopped)
  await cluster.close()
  return EXIT_OK
}
