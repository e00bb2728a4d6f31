import type { Config } from '../config/config.js'
import type { Clusters } from './clusters.js'
import { allPrepared, type ListenerSecurity } from './listener-security.js'
import type { OpenAccessLog } from './log-files.js'
import type { TroubleWatch } from './trouble-watch.js'
import type { GatewayWebhooks } from './webhooks.js'

/** Reads settings, certificates and keys again while the process runs, and opens its log files again. */
export class Reloads {
  readonly #security: ListenerSecurity
  readonly #clusters: Clusters
  readonly #accessLog: OpenAccessLog | undefined
  readonly #watch: TroubleWatch
  readonly #webhooks: GatewayWebhooks
  #running: Config
  /** Reloads run one after another, so that the last reload takes effect. */
  #last: Promise<void> = Promise.resolve()

  constructor(
    running: Config,
    security: ListenerSecurity,
    clusters: Clusters,
    accessLog: OpenAccessLog | undefined,
    watch: TroubleWatch,
    webhooks: GatewayWebhooks
  ) {
    this.#running = running
    this.#security = security
    this.#clusters = clusters
    this.#accessLog = accessLog
    this.#watch = watch
    this.#webhooks = webhooks
  }

  /**
   * @param config absent: all settings stay
   * @throws ConfigError with all problems when a file cannot be used. Settings and files then stay unchanged.
   */
  reload(config?: Config): Promise<void> {
    this.#accessLog?.reopen()
    const reloading = this.#last.then(() => this.#use(config ?? this.#running))
    this.#last = reloading.catch(() => undefined)
    return reloading
  }

  reopenLogs(): void {
    this.#accessLog?.reopen()
    this.#security.reopen()
  }

  async #use(config: Config): Promise<void> {
    const logins = this.#clusters.prepareLogins(config.clusters)
    const use = await allPrepared([this.#security.prepare(config), logins, this.#webhooks.prepare(config)])
    use()
    this.#running = config
    this.#watch.reloaded()
  }
}
