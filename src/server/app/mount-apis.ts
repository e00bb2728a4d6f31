import type { ApiContext, ApiSettings, HttpApi, OwnListener, SharedByApis } from '../../http/api/api.js'
import { SilenceLimit } from '../../http/engine/silence-limit.js'
import { type ApiMount, mountOf } from '../../http/server/http.js'
import { type Config, settingsOfApis } from '../config/schema.js'
import type { LifetimeSteps, ShutdownSteps } from './shutdown.js'

/** Steps of the shutdown that each API may add to. */
export interface ApisDeps {
  readonly shutdown: ShutdownSteps
  readonly drainSteps: LifetimeSteps
  readonly cutSteps: LifetimeSteps
}

export function enabledApis(apis: readonly HttpApi[], config: Config): readonly HttpApi[] {
  const settingsByName = new Map(settingsOfApis(config))
  return apis.filter(({ name }) => settingsByName.get(name)!.enabled)
}

/**
 * Whether requests of any enabled API can reach a cluster. Readiness depends only on clusters that requests can reach.
 */
export const isAddressable = (cluster: string, enabled: readonly HttpApi[]): boolean =>
  enabled.some(({ clusters }) => clusters === 'all' || cluster === 'default')

export function mountApis(
  enabled: readonly HttpApi[],
  config: Config,
  shared: SharedByApis,
  deps: ApisDeps
): ApiMount[] {
  const settingsByName = new Map(settingsOfApis(config))
  return enabled.map(api => mountApi(api, settingsByName.get(api.name)!, config.http, shared, deps))
}

function mountApi(
  api: HttpApi,
  settings: ApiSettings,
  http: Config['http'],
  shared: SharedByApis,
  { shutdown, drainSteps, cutSteps }: ApisDeps
): ApiMount {
  const { name } = api
  const context: ApiContext<ApiSettings> = {
    ...shared,
    decodesBodies: http.decodedApis.some(one => one === name),
    // An API may read bodies itself, so it gets the smaller of its own limit and the limit of the server.
    settings: { ...settings, maxBodyBytes: Math.min(settings.maxBodyBytes, http.maxBodyBytes) },
    lifetime: {
      onDrain: step => drainSteps.add(name, step),
      onStop: step => shutdown.add(`stopping ${name}`, step),
      onCut: step => cutSteps.add(name, step)
    },
    silence: new SilenceLimit()
  }
  return mountOf(api, context, listenersOf(api, settings, http))
}

/** All unix sockets of the configuration, each with the setting that names it. */
export function unixSocketsOf(apis: readonly HttpApi[], config: Config): UnixSocket[] {
  const { http } = config
  const shared =
    http.unixSocket === undefined
      ? []
      : [{ path: http.unixSocket, mode: http.unixSocketMode, setting: '--unix-socket (http.unixSocket)' }]
  const settings = new Map(settingsOfApis(config))
  const own = enabledApis(apis, config).flatMap(api => {
    const listeners = listenersOf(api, settings.get(api.name)!, http)
    return listeners.flatMap(({ address }) =>
      'unixSocket' in address ? [{ path: address.unixSocket, mode: address.mode, setting: address.setting }] : []
    )
  })
  return [...shared, ...own]
}

export interface UnixSocket {
  readonly path: string
  /** File mode in octal digits. */
  readonly mode: string
  readonly setting: string
}

function listenersOf(api: HttpApi, settings: ApiSettings, { host: sharedHost }: Config['http']): OwnListener[] {
  const { name, prefix } = api
  const { host = sharedHost, port, tls } = settings
  const setting = `--set apis.${name}.port=N (apis.${name}.port)`
  const ownPort = { label: name, prefix, address: { host, port: port ?? 0, setting }, tls: tls === 'inherit' }
  return [...(port === undefined ? [] : [ownPort]), ...(api.listeners?.(settings, { host: sharedHost }) ?? [])]
}
