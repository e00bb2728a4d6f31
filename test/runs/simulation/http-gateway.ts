import { type Logger, silentLogger } from '../../../src/core/model.js'
import { type App, startApp } from '../../../src/server/app/app.js'
import { type Config, loadConfig } from '../../../src/server/config/config.js'
import { CodecsInPlace } from '../../support/codecs-in-place.js'
import { type GatewayDisk, SECRET } from './gateway-disk.js'
import type { Outages } from './outages.js'
import type { SimulatedProcess } from './process.js'
import { HttpConnection, requestText } from './workloads/http-connection.js'
import type { Host } from './world/host.js'
import type { World } from './world/world.js'

export const GATEWAY_PORT = 8_080
/** Of a log that no disk has. The default directory may hold the log of a gateway that was started in this folder. */
export const LOG_DIRECTORY = '/simulated/wal'
const START_LIMIT_MS = 5_000
const RESTART_MS = 1_000
const DEFAULT_GRACE_MS = 10_000

/** Counts the request that asks for it, too. */
const IN_FLIGHT = 'castellan_http_requests_in_flight'
/** Gauges that tell what is held. */
const HELD = [
  IN_FLIGHT,
  'castellan_http_bodies_in_flight_bytes',
  'castellan_delivery_buffered_records',
  'castellan_delivery_buffered_bytes',
  'castellan_delivery_stuck_bytes',
  'castellan_router_waiting_requests'
]

export interface HttpGatewayOptions {
  readonly bootstrap: string
  /** Dotted path => text. */
  readonly settings: Readonly<Record<string, string>>
  /** Variables that name secrets. */
  readonly environment?: Readonly<Record<string, string>>
  /** Where its durable log is; absent: it has none. */
  readonly disk?: GatewayDisk | undefined
  /** The one behind it is that of management. Default {@link GATEWAY_PORT}. */
  readonly port?: number
  /** Further gauges that are 0 at rest. */
  readonly held?: readonly string[]
  /** Told when it is killed, stops and starts. */
  readonly outages: Outages
  /** Default: nobody hears what it tells. */
  readonly log?: Logger | undefined
  /** Told when the process has ended. @param mostLost records that it says it takes along; absent: it was killed */
  onEnded?(mostLost?: number): void
}

/** The whole gateway with its HTTP ports, in a process of its own that can be killed and comes back. */
export class HttpGateway implements SimulatedProcess {
  readonly name: string
  readonly #world: World
  readonly #options: HttpGatewayOptions
  readonly #scraper: Host
  #host: Host
  #app: App | undefined
  #isDead = false
  #starts = 0
  /** Settings that are others since it was made. */
  #changed: Readonly<Record<string, string>> = {}

  private constructor(world: World, name: string, options: HttpGatewayOptions) {
    this.name = name
    this.#world = world
    this.#options = options
    this.#scraper = world.host(`client-of-metrics-of-${name}`, true)
    this.#host = world.host(name)
  }

  static async start(world: World, name: string, options: HttpGatewayOptions): Promise<HttpGateway> {
    const gateway = new HttpGateway(world, name, options)
    await world.until(`starting ${name}`, gateway.#start(), START_LIMIT_MS)
    return gateway
  }

  get port(): number {
    return this.#options.port ?? GATEWAY_PORT
  }

  get disk(): GatewayDisk | undefined {
    return this.#options.disk
  }

  get host(): Host {
    return this.#host
  }

  /** It has started, and has not been asked to stop since. */
  get isThere(): boolean {
    return this.#app !== undefined
  }

  /** Changes settings, as their file and SIGHUP do. From now on it starts with these. */
  async configure(changed: Readonly<Record<string, string>>): Promise<void> {
    this.#changed = { ...this.#changed, ...changed }
    const app = this.#app
    if (app !== undefined) await this.#world.start(this.#host, () => app.reload(this.#config()))
  }

  async held(): Promise<Record<string, number>> {
    if (this.#app === undefined) return { 'its start': 1 }
    const text = await this.#world.start(this.#scraper, () => scrape(this.port + 1))
    const held = Object.fromEntries([...HELD, ...(this.#options.held ?? [])].map(name => [name, gaugeIn(text, name)]))
    // The gauge is set every two seconds only.
    if (this.disk !== undefined) held['records on disk'] = this.disk.openRecords
    held[IN_FLIGHT]!--
    return held
  }

  boundsProblem(): string | undefined {
    return this.disk?.boundsProblem()
  }

  async close(): Promise<number> {
    const { lostRecords } = await this.#app!.stop()
    return lostRecords
  }

  kill(): (() => void) | undefined {
    if (this.#isDead) return undefined
    this.#options.outages.killed(this.#host)
    this.#options.onEnded?.()
    this.#bury()
    return () => void this.#start()
  }

  shutDown(): (() => void) | undefined {
    if (this.#app === undefined) return undefined
    const ended = this.#shutDown(this.#app)
    this.#app = undefined
    return () => void ended.then(() => this.#start())
  }

  /** Resolves when the process has ended; never when it is killed before. */
  async #shutDown(app: App): Promise<void> {
    const { outages, disk, settings, onEnded } = this.#options
    const host = this.#host
    const graceMs = Number(settings['shutdown.graceMs'] ?? DEFAULT_GRACE_MS)
    outages.stops(host, { graceMs, drainMs: Number(settings['shutdown.drainMs'] ?? 0) })
    const { lostRecords } = await this.#world.start(host, () => app.stop())
    await outages.stopped(host, lostRecords, disk)
    if (host !== this.#host) return new Promise(() => undefined)
    onEnded?.(lostRecords)
    this.#bury()
  }

  #bury(): void {
    const { time, network } = this.#world
    this.#app = undefined
    this.#isDead = true
    time.kill(this.#host)
    network.hostDied(this.#host)
    this.#host = this.#world.host(`${this.name}-${++this.#starts}`)
  }

  async #start(): Promise<void> {
    const { disk, log = silentLogger } = this.#options
    this.#isDead = false
    const host = this.#host
    const changed = this.#changed
    const starting = this.#world.start(host, () =>
      startApp(this.#config(), {
        log,
        version: 'simulated',
        codecs: new CodecsInPlace(),
        ...(disk && { logStorage: disk.storage })
      })
    )
    await starting.then(
      app => {
        this.#app = app
        this.#options.outages.started()
        if (this.#changed !== changed) void this.configure({})
      },
      error => this.#failed(host, error)
    )
  }

  #config(): Config {
    const { bootstrap, settings, environment } = this.#options
    const all = {
      'clusters.default.brokers': bootstrap,
      'http.port': String(this.port),
      'management.port': String(this.port + 1),
      'delivery.createTopics': 'false',
      'peers.token': SECRET,
      'wal.directory': LOG_DIRECTORY,
      ...settings,
      ...this.#changed
    }
    const flags = Object.entries(all).map(([path, value]) => ({ flag: `--${path}`, path: path.split('.'), value }))
    return loadConfig({ flags, ...(environment && { environment }) })
  }

  /** It ends, and whoever watches it tries again: its disk may work again by then. */
  #failed(host: Host, error: unknown): void {
    // What fails in the turn in which it was killed is not heard any more.
    if (host !== this.#host) return
    if (this.disk === undefined) throw error
    this.#world.trace.say(this.name, `does not start: ${error}`)
    this.#bury()
    this.#world.time.schedule(RESTART_MS, undefined, 'restart', () => void this.#start())
  }
}

function scrape(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const connection = new HttpConnection('127.0.0.1', port, {
      onResponse: ({ body }) => {
        connection.end()
        resolve(body)
      },
      onClose: () => reject(new Error('the management port has closed the connection'))
    })
    connection.send(requestText('GET', '/metrics'))
  })
}

function gaugeIn(text: string, name: string): number {
  const lines = text.split('\n').filter(line => line.startsWith(`${name} `) || line.startsWith(`${name}{`))
  if (lines.length === 0) throw new Error(`there is no metric ${name}`)
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
}
