import { createHash, randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import { isDeepStrictEqual } from 'node:util'
import { Cluster, type PreparedCluster, prepareCluster } from '../../client/cluster.js'
import type { OrphanedLog } from '../../client/deliver-from-logs.js'
import { GATEWAY_ID_BYTES, newTokenGiver, type TokenGiver } from '../../consumer/queue/queue-token.js'
import type { ActorSystem } from '../../core/actor/actor.js'
import { performanceClock } from '../../core/clocks.js'
import { readTlsFiles } from '../../core/files/tls-files.js'
import type { LoopTurns } from '../../core/loop-turns.js'
import type { MetricsLogger } from '../../core/metrics/metrics-logger.js'
import type { Logger } from '../../core/model.js'
import type { RecordBudget } from '../../core/record-budget.js'
import type { Tracing } from '../../core/tracing/tracing.js'
import type { ConnectionSettings, SaslOptions } from '../../kafka/broker-client.js'
import type { DecompressedMemory } from '../../kafka/decompressed-memory.js'
import { type GrantedToken, requestToken, SharedToken } from '../../kafka/sasl.js'
import type { ClusterSettings } from '../../kafka/settings.js'
import type { DurableBacklog } from '../../producer/disk/durable-backlog.js'
import type { MemoryReceipts } from '../../producer/memory/memory-receipts.js'
import { topicSettingsOf } from '../../producer/memory/settings.js'
import type { Config } from '../config/config.js'
import { readTokenCaFile } from '../config/tls-files.js'
import { mskToken, tokenInFile, tokenOfCommand } from '../config/tokens.js'

/** Parts of the process that a cluster uses. */
export interface KafkaDeps {
  readonly system: ActorSystem
  readonly config: Config
  readonly log: Logger
  readonly metrics: MetricsLogger
  readonly onFatal: (error: Error) => void
  /** The durable log that all clusters share. Absent: records with `durability: 'disk'` are refused. */
  readonly backlog?: DurableBacklog | undefined
  /** Durable logs that workers of an earlier build have left. */
  readonly orphaned?: readonly OrphanedLog[] | undefined
  /** Gives receipts for records in memory. Absent: none are given. */
  readonly receipts?: MemoryReceipts | undefined
  /** Memory for decompressed records. All clusters share it. */
  readonly decompressedMemory?: DecompressedMemory | undefined
  /** Memory for records of answers. All clusters share it. */
  readonly records?: RecordBudget | undefined
  /** Names the process in tokens of queues. Absent: its gateway is not known again. */
  readonly giver?: TokenGiver | undefined
  /** Lets queues, and records that have waited for their topic, take turns with other long work. */
  readonly turns?: LoopTurns | undefined
  readonly tracing?: Tracing | undefined
}

/** A cluster of the configuration. */
export class ConfiguredCluster extends Cluster {
  readonly connection: ClusterConnection

  constructor(prepared: PreparedCluster, connection: ClusterConnection) {
    super(prepared)
    this.connection = connection
  }
}

/**
 * Opens a cluster of the configuration.
 *
 * @param brokers the brokers in the configuration, or the embedded brokers
 * @throws ConfigError when a certificate cannot be read
 */
export async function startCluster(
  name: string,
  brokers: readonly string[],
  deps: KafkaDeps
): Promise<ConfiguredCluster> {
  const { config, backlog, orphaned, receipts, giver, turns, records, tracing, ...rest } = deps
  const { router, delivery, consumer, cache, clusters, http, queues } = config
  const connection = openConnection(name, clusters[name]!)
  const options = {
    ...rest,
    brokers,
    connection: connection.current,
    router: {
      ...router,
      cacheMaxBytes: cache.maxBytes,
      decompressedMaxBytes: cache.decompressedMaxBytes,
      ...topicSettingsOf(delivery)
    },
    delivery: { ...delivery, metadataMaxAgeMs: router.metadataMaxAgeMs },
    consumer
  }
  const { create: mayCreate, ...limits } = queues
  const prepared = await prepareCluster(options, {
    name,
    place: backlog && { backlog, cluster: name, orphaned, receipts },
    // The memory of records that wait for capacity has the same limit as the bodies in flight.
    waitingMaxBytes: http.maxBodiesInFlightBytes,
    login: () => connection.current,
    queues: { limits: { mayCreate, ...limits }, giver, turns },
    records,
    tracing
  })
  const cluster = new ConfiguredCluster(prepared, connection)
  await cluster.open()
  return cluster
}

/**
 * How tokens of queues name this process. A gateway is known again by its host and the port at which other gateways call it, or
 * clients do; where any free port is taken, it is not.
 */
export function tokenGiverOf({ peers, http }: Pick<Config, 'peers' | 'http'>): TokenGiver {
  const listen = peers.addresses.length > 0 && peers.listen !== undefined ? peers.listen : `${http.host}:${http.port}`
  const name = `${hostname()} ${listen}`
  const isAnyPort = listen.endsWith(':0')
  const hash = createHash('sha256').update(name).digest()
  return newTokenGiver(isAnyPort ? randomBytes(GATEWAY_ID_BYTES) : hash.subarray(0, GATEWAY_ID_BYTES))
}

/**
 * Share of the connect time-out that the request for a token may use. Its error is thereby reported before the
 * connection times out.
 */
const TOKEN_SHARE_OF_CONNECTING = 0.7

type Connection = Omit<ConnectionSettings, 'log'>

/**
 * Reads how to connect to the brokers of a cluster.
 *
 * @throws ConfigError when a certificate cannot be read
 */
export function connectionOf(name: string, settings: ClusterSettings): Connection {
  const { clientId, connectTimeoutMs, requestTimeoutMs } = settings
  const times = { connectTimeoutMs, requestTimeoutMs }
  return { clientId, ...times, tls: toTls(name, settings.tls), sasl: toSasl(name, settings) }
}

/** How to connect to a cluster. Certificates and passwords can be replaced while the process runs. */
interface ClusterConnection {
  /** The options with which new connections are opened. */
  readonly current: Connection
  /**
   * Reads the files again without using them.
   *
   * @returns a function that applies them to new connections; open connections stay
   * @throws ConfigError when a certificate cannot be read
   */
  prepare(settings: ClusterSettings): () => void
}

/** @throws ConfigError when a certificate cannot be read */
function openConnection(name: string, settings: ClusterSettings): ClusterConnection {
  let current = connectionOf(name, settings)
  let loginMadeOf = loginParts(name, settings)
  return {
    get current() {
      return current
    },
    prepare: settings => {
      const next = connectionOf(name, settings)
      const madeOf = loginParts(name, settings)
      // If the login settings are unchanged, the current token is used until it expires.
      const isLoginSame = isDeepStrictEqual(madeOf, loginMadeOf)
      return () => {
        current = isLoginSame ? { ...next, sasl: current.sasl } : next
        loginMadeOf = madeOf
      }
    }
  }
}

const loginParts = (name: string, { sasl }: ClusterSettings): unknown => [sasl, sasl && readTokenCaFile(name, sasl)]

function toTls(name: string, tls: ClusterSettings['tls']): ConnectionSettings['tls'] {
  if (!tls.enabled) return undefined
  const { ca, cert, key } = readTlsFiles(`clusters.${name}.tls`, tls)
  return {
    rejectUnauthorized: tls.rejectUnauthorized,
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
    ...(tls.serverName !== undefined && { servername: tls.serverName })
  }
}

// The checks of the configuration guarantee that the settings of the mechanism are complete.
function toSasl(name: string, { sasl, connectTimeoutMs }: ClusterSettings): SaslOptions | undefined {
  if (!sasl) return undefined
  const { mechanism, username = '', password = '', token = '', tokenUrl, tokenPath, tokenCommand, mskRegion } = sasl
  if (mechanism !== 'oauthbearer') return { mechanism, username, password }
  if (tokenPath !== undefined) return { mechanism, token: () => tokenInFile(tokenPath) }
  const shared = (request: () => Promise<GrantedToken>): SaslOptions => {
    const { get, refused } = new SharedToken(request, performanceClock)
    return { mechanism, token: get, refused }
  }
  if (tokenCommand !== undefined) return shared(() => tokenOfCommand(tokenCommand))
  if (mskRegion !== undefined) return shared(() => mskToken(mskRegion))
  if (tokenUrl === undefined) return { mechanism, token }
  const { tokenClient: clientId = '', tokenSecret: clientSecret = '', tokenScope: scope } = sasl
  const credentials = { tokenUrl, clientId, clientSecret, scope, ca: readTokenCaFile(name, sasl) }
  const timeoutMs = connectTimeoutMs * TOKEN_SHARE_OF_CONNECTING
  return shared(() => requestToken(credentials, timeoutMs))
}
