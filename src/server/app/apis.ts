import type { Access } from '../../http/access/access.js'
import type { Dialect, DialectContext, Everywhere, OwnListener } from '../../http/api/api.js'
import type { DialectSettings } from '../../http/api/common-settings.js'
import { SilenceLimit } from '../../http/exchange/silence.js'
import { type DialectMount, mountOf } from '../../http/server/http.js'
import { type Config, settingsOfDialects } from '../config/schema.js'
import type { DrainSteps } from './drain-steps.js'
import type { Shutdown } from './shutdown.js'

/** What the dialects are given besides their settings, and where they say what to do at the end. */
export interface DialectsDeps
  extends Pick<
    DialectContext<unknown>,
    | 'admission'
    | 'diskAdmission'
    | 'calls'
    | 'gateway'
    | 'gateways'
    | 'log'
    | 'metrics'
    | 'statsd'
    | 'now'
    | 'clock'
    | 'tls'
  > {
  readonly access: Access
  /** Asks what a dialect has once for several processes; absent: there are none. */
  readonly shared?: ((dialect: string, question: unknown) => Promise<unknown>) | undefined
  /** What a dialect has in every process; absent: there is one. */
  readonly everywhereOf?: ((dialect: string) => Everywhere) | undefined
  readonly shutdown: Pick<Shutdown, 'add'>
  readonly drainSteps: Pick<DrainSteps, 'add'>
}

/** Those that are enabled. */
export function enabledDialects(dialects: readonly Dialect[], config: Pick<Config, 'dialects'>): readonly Dialect[] {
  const settingsByName = new Map(settingsOfDialects(config))
  return dialects.filter(({ name }) => settingsByName.get(name)!.enabled)
}

/** Whether any request can reach a cluster. One that none can reach says nothing about whether requests can be served. */
export const isAddressable = (cluster: string, enabled: readonly Dialect[]): boolean =>
  enabled.some(({ clusters }) => clusters === 'all' || cluster === 'default')

/** Dialects that are enabled, ready to be mounted. */
export function mountDialects(
  enabled: readonly Dialect[],
  config: Pick<Config, 'http' | 'dialects'>,
  deps: DialectsDeps
): DialectMount[] {
  const settingsByName = new Map(settingsOfDialects(config))
  return enabled.map(dialect => mountDialect(dialect, settingsByName.get(dialect.name)!, config.http, deps))
}

function mountDialect(
  dialect: Dialect,
  settings: DialectSettings,
  http: Config['http'],
  { shutdown, drainSteps, shared, everywhereOf, ...deps }: DialectsDeps
): DialectMount {
  const { name } = dialect
  const context = {
    ...deps,
    // The smaller of the two limits counts: a dialect may read bodies by itself.
    settings: { ...settings, maxBodyBytes: Math.min(settings.maxBodyBytes, http.maxBodyBytes) },
    lifetime: {
      onDrain: step => drainSteps.add(name, step),
      onStop: step => shutdown.add(`stopping ${name}`, step)
    },
    silence: new SilenceLimit(),
    everywhere: everywhereOf?.(name),
    ...(shared && dialect.shared && { shared: (question: unknown) => shared(name, question) })
  } satisfies DialectContext<DialectSettings>
  return mountOf(dialect, context, listenersOf(dialect, settings, http))
}

/** Paths of all unix sockets that will be listened on, with the setting that names each. */
export function unixSocketsOf(
  dialects: readonly Dialect[],
  { http, ...config }: Pick<Config, 'http' | 'dialects'>
): UnixSocket[] {
  const shared =
    http.unixSocket === undefined
      ? []
      : [{ path: http.unixSocket, mode: http.unixSocketMode, setting: '--unix-socket (http.unixSocket)' }]
  const settings = new Map(settingsOfDialects(config))
  const own = enabledDialects(dialects, config).flatMap(dialect => {
    const listeners = listenersOf(dialect, settings.get(dialect.name)!, http)
    return listeners.flatMap(({ address }) =>
      'unixSocket' in address ? [{ path: address.unixSocket, mode: address.mode, setting: address.setting }] : []
    )
  })
  return [...shared, ...own]
}

export interface UnixSocket {
  readonly path: string
  /** Octal digits. */
  readonly mode: string
  readonly setting: string
}

function listenersOf(dialect: Dialect, settings: DialectSettings, { host: sharedHost }: Config['http']): OwnListener[] {
  const { name, prefix } = dialect
  const { host = sharedHost, port, tls } = settings
  const setting = `--set dialects.${name}.port=N (dialects.${name}.port)`
  const ownPort = { label: name, prefix, address: { host, port: port ?? 0, setting }, tls: tls === 'inherit' }
  return [...(port === undefined ? [] : [ownPort]), ...(dialect.listeners?.(settings, { host: sharedHost }) ?? [])]
}
