import { resolve } from 'node:path'
import type { Logger } from '../../core/model.js'
import { requiresCredentials } from '../../http/access/settings.js'
import type { HttpApi } from '../../http/api/api.js'
import type { HttpUrls } from '../../http/server/http.js'
import type { DurableBacklog } from '../../producer/disk/durable-backlog.js'
import type { Config } from '../config/config.js'
import { settingsOfApis } from '../config/schema.js'

/** Logs which Kafka is used. This is the first line of the log. */
export function announceBrokers(config: Config, version: string, embedded: string | undefined, log: Logger): void {
  if (embedded === undefined) {
    const { brokers } = config.clusters.default!
    log.info({ version, broker: 'kafka', brokers }, `castellan ${version}, kafka at ${brokers.join(', ')}`)
    return
  }
  const { enabled, directory } = config.embedded
  const why = enabled ? '' : ' (no brokers are configured; --brokers HOST:PORT names some)'
  const where = directory === undefined ? 'records in memory, gone at exit' : `records in ${directory}`
  log.info(
    { version, broker: 'embedded', brokers: [embedded] },
    `castellan ${version}, embedded broker on ${embedded}${why}; ${where}; for trying things, not for production`
  )
}

/**
 * Logs the directory of the durable log, if an API stores records there or records of an earlier process wait there.
 * The operator has to know it early, because the directory must still exist when the container is replaced.
 */
export async function announceDurableLog(
  config: Config,
  backlog: DurableBacklog,
  enabled: readonly HttpApi[],
  log: Logger
): Promise<void> {
  const { path, leftRecords } = backlog
  const owners = namesOfOwners(config, enabled)
  if (path === undefined && owners.length === 0) return
  const directory = path ?? resolve(config.wal.directory)
  const waiting = [...leftRecords.values()].reduce((sum, count) => sum + count, 0)
  const what = path === undefined ? 'opened with the first record' : `${waiting} records wait for kafka`
  log.info({ directory, apis: owners, waiting }, `durable log in ${directory}; ${what}`)
  const why = await backlog.whyUnusable()
  if (why !== undefined) log.warn({ directory, apis: owners }, `${why}; its records are refused until that is changed`)
  for (const [cluster, count] of leftRecords) {
    if (Object.hasOwn(config.clusters, cluster)) continue
    log.warn({ cluster, records: count }, `${count} records wait for the cluster ${cluster}, which is not configured`)
  }
}

export function namesOfOwners(config: Config, enabled: readonly HttpApi[]): string[] {
  const settings = new Map(settingsOfApis(config))
  return enabled
    .map(({ name }) => name)
    .filter(name => (settings.get(name) as { readonly durability?: unknown }).durability === 'disk')
}

/** Logs the URLs. With the embedded broker, also logs commands to try; the front page has one for each API. */
export function announceUrls(
  config: Config,
  urls: HttpUrls,
  embedded: string | undefined,
  log: Logger,
  enabled: readonly HttpApi[]
): void {
  const { shared, unixSocket, management } = urls
  log.info({ url: shared, ...(unixSocket !== undefined && { unixSocket }) }, `listening on ${shared}`)
  if (unixSocket !== undefined) log.info({ url: unixSocket }, `listening on ${unixSocket}`)
  const names = new Set(enabled.map(({ name }) => name))
  for (const [label, url] of urls.apis) {
    log.info({ api: label, url }, `${names.has(label) ? `${label} API on its own port` : label}: ${url}`)
  }
  if (management !== undefined) {
    log.info(
      { url: management },
      `health and metrics: ${management}/health-check, ${management}/ready, ${management}/metrics`
    )
  }
  if (embedded === undefined || !isOpen(config)) return
  announceTrials(enabled, urls, embedded, log)
}

const isOpen = ({ http, auth }: Config): boolean => http.tls.certFile === undefined && !requiresCredentials(auth)

function announceTrials(enabled: readonly HttpApi[], { shared, apis }: HttpUrls, embedded: string, log: Logger): void {
  const [first] = enabled
  if (first === undefined) return
  const [command] = first.tryIt(apis.get(first.name) ?? `${shared}${first.prefix}`)
  log.info({}, `try: ${command}`)
  log.info({}, `then: npx castellan read orders${embedded === '127.0.0.1:9092' ? '' : ` --brokers ${embedded}`}`)
  log.info({}, `a command for each API: curl ${shared}`)
}
