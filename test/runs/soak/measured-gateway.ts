import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { EmbeddedCluster } from '../../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../../src/embedded-broker/start-embedded-cluster.js'

export interface Memory {
  /** Bytes of the heap and of buffers, once garbage was collected. */
  readonly heldBytes: number
  /** Those of buffers. */
  readonly externalBytes: number
}

export type FromMeasured =
  | { readonly type: 'up'; readonly url: string; readonly management: string }
  | ({ readonly type: 'measured' } & Memory)

/** The cache of fetched batches is full soon: what it holds was not left behind. */
const SETTINGS = JSON.stringify({ 'cache.maxBytes': '2000000' })

/** A whole gateway in a process of its own, which tells how much it holds. Its brokers live in this process. */
export class MeasuredGateway {
  readonly #child: ChildProcess
  readonly cluster: EmbeddedCluster
  readonly url: string
  readonly management: string

  private constructor(child: ChildProcess, cluster: EmbeddedCluster, up: Extract<FromMeasured, { type: 'up' }>) {
    this.#child = child
    this.cluster = cluster
    this.url = up.url
    this.management = up.management
  }

  static async start(): Promise<MeasuredGateway> {
    const cluster = await startEmbeddedCluster({ nodes: 1, retentionBytes: 16 * 1024 * 1024 })
    const child = fork(join(import.meta.dirname, 'measured-process.ts'), [cluster.bootstrap, SETTINGS], {
      execArgv: ['--import', 'tsx']
    })
    const [up] = (await once(child, 'message')) as [Extract<FromMeasured, { type: 'up' }>]
    return new MeasuredGateway(child, cluster, up)
  }

  async memory(): Promise<Memory> {
    this.#child.send('measure')
    const [memory] = (await once(this.#child, 'message')) as [Memory]
    return memory
  }

  async close(): Promise<void> {
    const ended = once(this.#child, 'exit')
    this.#child.disconnect()
    await ended
    await this.cluster.close()
  }
}
