import { requiresCredentials } from '../config/access-checks.js'
import type { Config } from '../config/config.js'
import type { HttpUrls } from '../http/http.js'
import type { Logger } from '../model.js'

/** Says which Kafka this is about; first of all lines. */
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

/** Says where to go, and with the embedded broker what to try there. */
export function announceUrls(config: Config, urls: HttpUrls, embedded: string | undefined, log: Logger): void {
  const { shared, unixSocket, management } = urls
  log.info({ url: shared, ...(unixSocket !== undefined && { unixSocket }) }, `listening on ${shared}`)
  if (unixSocket !== undefined) log.info({ url: unixSocket }, `listening on ${unixSocket}`)
  for (const [name, url] of urls.dialects) log.info({ dialect: name, url }, `${name} API on its own port: ${url}`)
  if (management !== undefined) {
    log.info(
      { url: management },
      `health and metrics: ${management}/health-check, ${management}/ready, ${management}/metrics`
    )
  }
  if (embedded !== undefined && config.dialects.kprf.enabled && isOpen(config)) announceTrial(shared, embedded, log)
}

/** Whether a plain curl gets in. */
const isOpen = ({ http, auth }: Config): boolean => http.tls.certFile === undefined && !requiresCredentials(auth)

function announceTrial(shared: string, embedded: string, log: Logger): void {
  const body = '{"records":[{"topic":"orders","key":"k1","data":"hello"}],"wait_for_send":true}'
  log.info({}, `try: curl -i ${shared}/kprf/push -H 'content-type: application/json' -d '${body}'`)
  log.info({}, `then: npx castellan read orders${embedded === '127.0.0.1:9092' ? '' : ` --brokers ${embedded}`}`)
}
