import { isDeepStrictEqual } from 'node:util'
import { ConfigError } from '../core/errors.js'
import { printable } from '../core/printable.js'
import type { ClusterSettings } from '../kafka/settings.js'
import type { AppLogger } from '../server/app/logger.js'
import { namedPath } from '../server/config/advanced.js'
import type { Config } from '../server/config/config.js'
import { leaves } from '../server/config/schema.js'

interface Reloading {
  /** @throws ConfigError when any part cannot be used. Nothing is changed then. */
  reload(config: Config): Promise<unknown>
  reopenLogs(): void
}

/** The configuration at the start, and a function that reads it again. */
export interface ReloadSource {
  /** The configuration with which the process was started. */
  readonly config: Config
  /** Reads the configuration again from the same sources. Throws a ConfigError when it is invalid. */
  readonly read: () => Config | Promise<Config>
}

/**
 * Reloads a gateway at SIGHUP. The listener is added before the gateway starts, because without a listener the signal
 * ends the process. The log file is opened again at once. Settings, certificates and keys are read again as soon as the
 * gateway has started.
 *
 * @param starting resolves when the gateway has started; when it rejects, nothing is read again and the caller reports
 * the error
 * @param reopen opens the log file again
 */
export function reloadAtHangUp(
  onHangUp: (listener: () => void) => void,
  starting: Promise<Reloading>,
  log: AppLogger,
  source: ReloadSource,
  reopen: () => void = () => log.reopen()
): void {
  let running = source.config
  const reload = async (): Promise<void> => {
    const started = await starting.catch(() => undefined)
    if (started === undefined) return
    try {
      const next = await readAgain(source, running, log)
      if (next === undefined) {
        started.reopenLogs()
        return
      }
      await started.reload(next.config)
      running = next.config
      if (next.needRestart.length > 0) {
        const names = next.needRestart.join(', ')
        log.warn(
          { settings: next.needRestart },
          `SIGHUP: these settings have changed and take effect after a restart: ${names}`
        )
      }
    } catch (error) {
      log.error(...toReloadError(error))
    }
  }
  // Reloads run one after another, so that the last reload takes effect.
  let last: Promise<void> = Promise.resolve()
  onHangUp(() => {
    reopen()
    log.info({}, 'SIGHUP: reading settings, certificates and keys again')
    last = last.then(reload)
  })
}

/** @returns `undefined`: the new settings are invalid, and the current settings stay in effect */
async function readAgain({ read }: ReloadSource, running: Config, log: AppLogger): Promise<Reloaded | undefined> {
  try {
    return reloaded(running, await read())
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    const problems = error.message.split('\n').join('; ')
    log.error({}, `SIGHUP: the new settings cannot be used, and the former ones stay in effect: ${problems}`)
    return undefined
  }
}

export function toReloadError(error: unknown): [fields: object, message: string] {
  if (!(error instanceof ConfigError)) return [{ err: error }, 'SIGHUP: reloading has failed']
  const problems = printable(error.message.split('\n').join('; '))
  return [{}, `SIGHUP: nothing was reloaded, and the former settings and files stay in effect: ${problems}`]
}

/** The result of a reload: the settings in effect, and the changed settings that need a restart. */
interface Reloaded {
  readonly config: Config
  /** Names of settings such as `http.port`, without their values. */
  readonly needRestart: readonly string[]
}

/**
 * Takes over the settings that can change while the process runs: how clients authenticate, what they may do, webhooks, and
 * the certificates and passwords with which the process logs in to Kafka.
 *
 * @param running the configuration in effect
 * @param read the configuration that was just read from its sources
 */
function reloaded(running: Config, read: Config): Reloaded {
  const { auth, access, clusters, webhooks, webhookFiles } = read
  const config: Config = {
    ...running,
    auth,
    webhooks,
    webhookFiles,
    access: { ...running.access, rules: access.rules },
    clusters: Object.fromEntries(
      Object.entries(running.clusters).map(([name, cluster]) => [name, withLogin(cluster, clusters[name])])
    ) as Config['clusters']
  }
  return { config, needRestart: differences(config, read).map(path => namedPath(path, leaves).join('.')) }
}

/**
 * Takes over certificates and passwords only. TLS cannot be switched on or off, and the SASL mechanism cannot change,
 * without a restart.
 */
function withLogin(running: ClusterSettings, read: ClusterSettings = running): ClusterSettings {
  const isTlsSame = read.tls.enabled === running.tls.enabled
  const isLoginSame = read.sasl?.mechanism === running.sasl?.mechanism
  return { ...running, tls: isTlsSame ? read.tls : running.tls, sasl: isLoginSame ? read.sasl : running.sasl }
}

function differences(one: unknown, other: unknown, path: readonly string[] = []): string[][] {
  if (isDeepStrictEqual(one, other)) return []
  if (!isSection(one) || !isSection(other)) return [[...path]]
  const names = new Set([...Object.keys(one), ...Object.keys(other)])
  return [...names].flatMap(name => differences(one[name], other[name], [...path, name]))
}

const isSection = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
