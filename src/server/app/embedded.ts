import { ListenError } from '../../core/listen-error.js'
import type { Logger } from '../../core/model.js'
import { codeOf } from '../../core/node-errors.js'
import type { EmbeddedCluster } from '../../embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../embedded-broker/start-embedded-cluster.js'
import { usesEmbeddedBroker } from '../config/checks.js'
import type { Config } from '../config/config.js'
import type { ShutdownSteps } from './shutdown.js'

/**
 * Starts the embedded broker if the configuration asks for it. The broker is closed with the gateway.
 *
 * @returns HOST:PORT,… of the broker; `undefined`: none is configured
 * @throws ListenError when its address cannot be used
 */
export async function startBrokerOfGateway(
  config: Config,
  log: Logger,
  shutdown: ShutdownSteps
): Promise<string | undefined> {
  if (!usesEmbeddedBroker(config)) return undefined
  const warn = (message: string): void => log.warn({}, message)
  const broker = await startEmbeddedBroker(config.embedded, '--embedded-port (embedded.port)', 'embedded.host', warn)
  shutdown.add('closing the embedded broker', () => broker.close())
  return broker.bootstrap
}

/**
 * Starts the embedded broker.
 *
 * @param portSetting the setting that is named in an error about a port that is in use
 * @param warn receives warnings for the operator while the broker runs
 * @throws ListenError when its address cannot be used
 */
export async function startEmbeddedBroker(
  settings: Config['embedded'],
  portSetting: string,
  hostSetting: string,
  warn: (message: string) => void
): Promise<EmbeddedCluster> {
  const { host, advertisedHost, port, directory, nodes, defaultPartitions, autoCreateTopics } = settings
  const { retentionBytes } = settings
  try {
    return await startEmbeddedCluster({
      host,
      port,
      nodes,
      defaultPartitions,
      autoCreateTopics,
      warn,
      ...(advertisedHost !== undefined && { advertisedHost }),
      ...(directory !== undefined && { directory }),
      ...(retentionBytes !== undefined && { retentionBytes })
    })
  } catch (error) {
    const code = codeOf(error)
    const last = port === 0 ? port : port + nodes - 1
    const ports = last === port ? `port ${port}` : `one of the ports ${port} to ${last}`
    if (code === 'EADDRINUSE') {
      throw new ListenError(
        `${ports} on ${host} is taken; choose another for the embedded broker with ${portSetting} (0 means any free one)`
      )
    }
    if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND') {
      throw new ListenError(
        `the embedded broker cannot listen on ${host} (${code}); choose another address with ${hostSetting}`
      )
    }
    throw error
  }
}
