import { startInProcess } from '../tools/in-process.js'

/** Messages that wait in a topic. */
export interface Backlog {
  readonly topic: string
  readonly partitions: number
  readonly messages: number
  readonly value: string
  /** Default: that of Castellan, 1 MB. */
  readonly batchMaxBytes?: number
}

const RECORDS_PER_CALL = 1_000
const CALLS_IN_FLIGHT = 10
const POLL_MS = 50
/** Longer than the pause between two commits. */
const SETTLE_MS = 700
const TIMEOUT_MS = 10_000

/** Writes the messages to all partitions in turn, and waits until they are in the log. */
export async function writeBacklog(bootstrap: string, backlog: Backlog): Promise<void> {
  const { batchMaxBytes } = backlog
  const castellan = await startInProcess({ brokers: bootstrap, ...(batchMaxBytes && { delivery: { batchMaxBytes } }) })
  let written = 0
  const write = async (): Promise<void> => {
    while (written < backlog.messages) {
      const first = written
      written += RECORDS_PER_CALL
      await writeSome(castellan, backlog, first, Math.min(RECORDS_PER_CALL, backlog.messages - first))
    }
  }
  await Promise.all(Array.from({ length: CALLS_IN_FLIGHT }, write))
  await castellan.close()
}

async function writeSome(
  castellan: Awaited<ReturnType<typeof startInProcess>>,
  { topic, partitions, value }: Backlog,
  first: number,
  count: number
): Promise<void> {
  const records = Array.from({ length: count }, (_, at) => {
    return { topic, partition: (first + at) % partitions, key: null, value }
  })
  const outcomes = await castellan.produce(records, { deadlineMs: TIMEOUT_MS })
  if (outcomes.some(({ type }) => type !== 'delivered')) throw new Error('the backlog could not be written')
}

/** A group that reads a backlog from its beginning. */
export class PixyGroup {
  readonly #url: string
  readonly #groupId: string

  constructor(port: number, groupId: string, { topic }: Pick<Backlog, 'topic'>) {
    this.#url = `http://127.0.0.1:${port}/pixy/topics/${topic}`
    this.#groupId = groupId
  }

  /** Reads one message, so that the gateway joins the group. */
  async join(): Promise<void> {
    for (;;) {
      const response = await fetch(`${this.#url}/messages?group=${this.#groupId}`)
      await response.arrayBuffer()
      if (response.status === 200) return
      if (response.status !== 408) throw new Error(`the first message was answered ${response.status}`)
    }
  }

  /** Returns the sum of the committed offsets, once it is at least `least` or the time is over. */
  async acknowledged(least: number): Promise<number> {
    const deadline = performance.now() + TIMEOUT_MS
    for (;;) {
      const committed = await this.#committed()
      if (committed >= least || performance.now() > deadline) return this.#settled(committed)
      await sleep(POLL_MS)
    }
  }

  /** Waits a little longer, to notice commits beyond the expected ones. Such commits are an error. */
  async #settled(committed: number): Promise<number> {
    await sleep(SETTLE_MS)
    return Math.max(committed, await this.#committed())
  }

  async #committed(): Promise<number> {
    const response = await fetch(`${this.#url}/offsets?group=${this.#groupId}`)
    const offsets = (await response.json()) as { readonly offset: number }[]
    return offsets.reduce((sum, { offset }) => sum + Math.max(0, offset), 0)
  }
}

const sleep = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))
