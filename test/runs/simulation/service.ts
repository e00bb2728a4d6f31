import type { Castellan, OpenCastellanOptions } from '../../../src/client/castellan.js'
import { openCastellan, type ProgramCastellan } from '../../../src/client/open-castellan.js'
import type { RouterMessage } from '../../../src/router/messages/operations.js'
import type { Verbs } from '../../../src/verbs/verbs.js'
import type { SimulatedProcess } from './process.js'
import type { Host } from './world/host.js'
import type { World } from './world/world.js'

const OPEN_LIMIT_MS = 1_000
const CLOSE_TIMEOUT_MS = 10_000

export interface ServiceExtras {
  /** Called before anything is connected. */
  prepare?(host: Host): unknown
  /** How long closing may wait for records that are held. */
  readonly closeTimeoutMs?: number
}

/** Castellan as a library, in a process of its own. */
export class Service implements SimulatedProcess {
  readonly name: string
  readonly host: Host
  readonly #castellan: ProgramCastellan
  readonly #maxBytes: number
  readonly #closeTimeoutMs: number

  private constructor(host: Host, castellan: ProgramCastellan, maxBytes: number, closeTimeoutMs: number) {
    this.name = host.name
    this.host = host
    this.#castellan = castellan
    this.#maxBytes = maxBytes
    this.#closeTimeoutMs = closeTimeoutMs
  }

  static async open(
    world: World,
    name: string,
    options: OpenCastellanOptions,
    { prepare, closeTimeoutMs = CLOSE_TIMEOUT_MS }: ServiceExtras = {}
  ): Promise<Service> {
    const host = world.host(name)
    prepare?.(host)
    const onFatal = (error: Error): void => {
      throw error
    }
    const opening = world.start(host, () => openCastellan({ onFatal, ...options }))
    const castellan = await world.until(`opening ${name}`, opening, OPEN_LIMIT_MS)
    return new Service(host, castellan, options.delivery?.maxBytes ?? Number.POSITIVE_INFINITY, closeTimeoutMs)
  }

  get castellan(): Castellan {
    return this.#castellan
  }

  get verbs(): Verbs {
    return this.#castellan.verbs
  }

  tell(message: RouterMessage): void {
    this.#castellan.router.ref.tell(message)
  }

  held(): Promise<Record<string, number>> {
    const { bufferedRecords, bufferedBytes, stuckBytes } = this.#castellan.delivery.stats()
    const { open, deferred } = this.#castellan.router.stats()
    return Promise.resolve({ bufferedRecords, bufferedBytes, stuckBytes, open, deferred })
  }

  boundsProblem(): string | undefined {
    const { bufferedBytes } = this.#castellan.delivery.stats()
    const { cacheBytes, cacheMaxBytes } = this.#castellan.router.stats()
    if (bufferedBytes > this.#maxBytes + MOST_RECORD_BYTES) return `${bufferedBytes} bytes are buffered`
    return cacheBytes > cacheMaxBytes ? `${cacheBytes} of ${cacheMaxBytes} bytes are cached` : undefined
  }

  close(): Promise<number> {
    return this.#castellan.close({ timeoutMs: this.#closeTimeoutMs })
  }
}

/** The buffer may be larger by one record. */
const MOST_RECORD_BYTES = 4_096
