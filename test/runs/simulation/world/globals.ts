import crypto from 'node:crypto'
import http from 'node:http'
import { syncBuiltinESMExports } from 'node:module'
import net, { Server } from 'node:net'
import { performance } from 'node:perf_hooks'
import timersPromises from 'node:timers/promises'
import v8 from 'node:v8'
import zlib from 'node:zlib'
import type { SeededRandom } from '../../../support/random.js'
import { KilledProcesses } from './killed-processes.js'
import type { Endpoint, Network } from './network.js'
import type { OnRead } from './socket.js'
import type { SimulatedTime } from './time.js'
import { sleepsOf, timersOf } from './timers.js'

type Properties = Record<string, PropertyDescriptor>

/** Something of Node, and what stands in its place for a while. */
class Replacement {
  readonly #target: object
  readonly #before: (readonly [string, PropertyDescriptor | undefined])[]

  constructor(target: object, properties: Properties) {
    this.#target = target
    this.#before = Object.keys(properties).map(name => [name, Object.getOwnPropertyDescriptor(target, name)])
    for (const [name, descriptor] of Object.entries(properties)) {
      Object.defineProperty(target, name, { configurable: true, enumerable: true, ...descriptor })
    }
  }

  restore(): void {
    for (const [name, descriptor] of this.#before) {
      if (descriptor === undefined) delete (this.#target as Record<string, unknown>)[name]
      else Object.defineProperty(this.#target, name, descriptor)
    }
  }
}

const values = (functions: Readonly<Record<string, unknown>>): Properties =>
  Object.fromEntries(Object.entries(functions).map(([name, value]) => [name, { value, writable: true }]))

/**
 * Puts the world in the place of Node's clocks, timers, randomness and TCP sockets, for all code of this process.
 * test/runs/simulation/purity.test.ts keeps `src` from using what is not replaced.
 *
 * @returns takes everything back
 */
export function replaceGlobals(time: SimulatedTime, network: Network, random: SeededRandom): () => void {
  const killed = new KilledProcesses()
  const connectors = connectorsOf(network)
  const replacements = [
    new Replacement(globalThis, values({ ...timersOf(time), FinalizationRegistry: NothingIsCollected, WeakRef: Kept })),
    new Replacement(timersPromises, values(sleepsOf(time))),
    new Replacement(Date, values({ now: () => Math.floor(time.now + time.wallOffsetMs) })),
    new Replacement(performance, values({ now: () => time.now, eventLoopUtilization: () => NO_LOAD })),
    new Replacement(process, values({ hrtime: hrtimeOf(time) })),
    new Replacement(v8, values({ getHeapStatistics: () => ROOMY_HEAP })),
    new Replacement(Math, values({ random: () => random.next() })),
    new Replacement(crypto, values(randomnessOf(random))),
    new Replacement(zlib, values(coders)),
    new Replacement(net, values(connectors)),
    new Replacement(http, values({ createServer: killed.createServer })),
    // It keeps the one of when it was loaded.
    new Replacement(http.Agent.prototype, values({ createConnection: connectors.connect })),
    new Replacement(Server.prototype, serversOf(network, time))
  ]
  // What was imported by name follows only then.
  syncBuiltinESMExports()
  return () => {
    for (const replacement of replacements.reverse()) replacement.restore()
    syncBuiltinESMExports()
    killed.clear(network)
  }
}

/** How busy the real event loop is must not be told in the simulated world. */
const NO_LOAD = { idle: 0, active: 0, utilization: 0 }

/** Threads would take real time, those of clients that decode, too. So answers leave as they are. */
const coders = Object.fromEntries(
  ['gzip', 'brotliCompress', 'zstdCompress'].map(name => [
    name,
    (_body: Buffer, ...more: unknown[]) => {
      const done = more.pop() as (error: Error) => void
      setImmediate(() => done(new Error('a simulated world has no threads')))
    }
  ])
)

/** What former worlds have left in the heap of this process is none of a gateway's business, which may refuse requests for it. */
const ROOMY_HEAP = { used_heap_size: 1, heap_size_limit: 100 }

/** When the garbage collector runs is none of the simulation's business. */
class NothingIsCollected {
  register(): void {}
  unregister(): boolean {
    return false
  }
}

/** So that what is dropped for lack of capacity does not depend on it either. */
class Kept<Target extends WeakKey> {
  readonly #target: Target

  constructor(target: Target) {
    this.#target = target
  }

  deref(): Target {
    return this.#target
  }
}

function hrtimeOf(time: SimulatedTime) {
  const nanoseconds = (): bigint => BigInt(Math.round(time.now * 1e6))
  const hrtime = (since: readonly [number, number] = [0, 0]): [number, number] => {
    const passed = nanoseconds() - (BigInt(since[0]) * 1_000_000_000n + BigInt(since[1]))
    return [Number(passed / 1_000_000_000n), Number(passed % 1_000_000_000n)]
  }
  return Object.assign(hrtime, { bigint: nanoseconds })
}

function randomnessOf(random: SeededRandom) {
  const randomBytes = (size: number): Buffer => Buffer.from(Array.from({ length: size }, () => random.between(0, 255)))
  const randomUUID = (): string => {
    const bytes = randomBytes(16)
    bytes[6] = (bytes[6]! & 0x0f) | 0x40
    bytes[8] = (bytes[8]! & 0x3f) | 0x80
    return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
  }
  const randomInt = (from: number, to?: number): number =>
    to === undefined ? random.between(0, from - 1) : random.between(from, to - 1)
  return { randomBytes, randomUUID, randomInt }
}

function connectorsOf(network: Network) {
  const connect = (...args: unknown[]): net.Socket => {
    const [first, second] = args
    const callback = args.find(arg => typeof arg === 'function') as (() => void) | undefined
    const options = (typeof first === 'object' ? first : { port: first, host: second }) as ConnectOptions
    if (options.port === undefined) throw new Error('the simulated network has no unix sockets')
    const remote = { host: hostOf(options), port: Number(options.port) }
    const socket = network.connect(remote, options.onread, options.allowHalfOpen)
    if (callback !== undefined) socket.once('connect', callback)
    return socket
  }
  return { connect, createConnection: connect }
}

interface ConnectOptions {
  readonly host?: unknown
  readonly port?: unknown
  readonly onread?: OnRead
  readonly allowHalfOpen?: boolean
}

function serversOf(network: Network, time: SimulatedTime): Properties {
  return {
    ...values({
      listen(this: Server, ...args: unknown[]): Server {
        const callback = args.find(arg => typeof arg === 'function') as (() => void) | undefined
        if (callback !== undefined) this.once('listening', callback)
        try {
          network.listen(this, endpointOf(args))
        } catch (error) {
          time.schedule(0, time.current, 'error', () => this.emit('error', error))
        }
        return this
      },
      close(this: Server, callback?: (error?: Error) => void): Server {
        const isListening = network.isListening(this)
        if (callback !== undefined && isListening) this.once('close', callback)
        if (!network.closeServer(this) && callback !== undefined) {
          const error = Object.assign(new Error('Server is not running.'), { code: 'ERR_SERVER_NOT_RUNNING' })
          time.schedule(0, time.current, 'closed', () => callback(error))
        }
        return this
      },
      address(this: Server) {
        return network.addressOf(this)
      },
      getConnections(this: Server, callback: (error: null, count: number) => void): void {
        callback(null, network.connectionsOf(this))
      }
    }),
    listening: {
      get(this: Server): boolean {
        return network.isListening(this)
      }
    }
  }
}

const hostOf = ({ host }: ConnectOptions): string =>
  typeof host === 'string' && host !== 'localhost' ? host : '127.0.0.1'

function endpointOf([first, second]: readonly unknown[]): Endpoint {
  const { port, host } = (typeof first === 'object' ? first : { port: first, host: second }) as ConnectOptions
  if (Number.isNaN(Number(port))) throw new Error('the simulated network has no unix sockets')
  return { host: hostOf({ host }), port: Number(port) }
}
