import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { answerParent } from './child.js'
import { type AskRouter, startInProcess } from './in-process.js'

export type NamesAccess = 'writes' | 'reads' | 'groups'
export interface NamesRun {
  readonly requestAccess: NamesAccess
  readonly bootstrap: string
  /** The existing topic that is written to. The other existing topic has a single record, which is read. */
  readonly written: string
  readonly read: string
  readonly names: number
}
/** Figures before the first invented name, and after the last one. */
export interface NamesReport {
  readonly heapBytes: readonly [number, number]
  /** Time to write one record to an existing topic, from the call to the acknowledgement. */
  readonly microsPerWrite: readonly [number, number]
  /** Time to read one cached record of an existing topic. */
  readonly microsPerRead: readonly [number, number]
}

const NAMES_PER_REQUEST = 1_000
const REQUESTS_IN_FLIGHT = 5
const WAIT_MS = 200
const READ_TIMEOUT_MS = 30_000
const CALLS_OF_A_MEASUREMENT = 2_000
/** Longer than the process remembers any part of a name. */
const SETTLE_MS = 12_000

type Client = Awaited<ReturnType<typeof startInProcess>>

async function run({ requestAccess, bootstrap, written, read, names }: NamesRun): Promise<NamesReport> {
  setFlagsFromString('--expose-gc')
  const collectGarbage = runInNewContext('gc') as () => void
  const client = await startInProcess({ brokers: bootstrap })
  const measure = async () => {
    const microsPerWrite = await microsOf(() => writeTo(client, written))
    const microsPerRead = await microsOf(() => readFrom(client, read, READ_TIMEOUT_MS))
    collectGarbage()
    return { microsPerWrite, microsPerRead, heapBytes: process.memoryUsage().heapUsed }
  }
  await writeTo(client, read)
  await measure()
  const before = await measure()
  let invented = 0
  const invent = async (): Promise<void> => {
    while (invented < names) {
      const first = invented
      invented += NAMES_PER_REQUEST
      await ask[requestAccess](
        client,
        Array.from({ length: NAMES_PER_REQUEST }, (_, at) => `invented-${first + at}`)
      )
    }
  }
  await Promise.all(Array.from({ length: REQUESTS_IN_FLIGHT }, invent))
  await new Promise(resolve => setTimeout(resolve, SETTLE_MS))
  // The process forgets names only while it has work. This measurement is that work, and its result is not used.
  await measure()
  const after = await measure()
  await client.close()
  return {
    heapBytes: [before.heapBytes, after.heapBytes],
    microsPerWrite: [before.microsPerWrite, after.microsPerWrite],
    microsPerRead: [before.microsPerRead, after.microsPerRead]
  }
}

const ask: Readonly<Record<NamesAccess, (client: Client, names: readonly string[]) => Promise<unknown>>> = {
  writes: ({ router, askRouter }, names) => {
    const records = names.map(topic => ({ topic, key: null, value: 'x' }))
    return askRouter(router.ref, { type: 'produce', records, timeoutMs: WAIT_MS })
  },
  reads: (client, names) => Promise.all(names.map(topic => readFrom(client, topic, WAIT_MS))),
  groups: ({ router, askRouter }, names) =>
    Promise.all(
      names.map(groupId =>
        askRouter(router.ref, {
          type: 'fetchConsumerOffset',
          groupId,
          topicPartition: { topic: groupId, partition: 0 },
          timeoutMs: WAIT_MS
        })
      )
    )
}

const readFrom = ({ router, askRouter }: Client, topic: string, timeoutMs: number): ReturnType<AskRouter> =>
  askRouter(router.ref, { type: 'fetchData', topicPartition: { topic, partition: 0 }, offset: 0, timeoutMs })

const microsOf = async (call: () => Promise<unknown>): Promise<number> => {
  const startedAtMs = performance.now()
  for (let at = 0; at < CALLS_OF_A_MEASUREMENT; at++) await call()
  return ((performance.now() - startedAtMs) * 1000) / CALLS_OF_A_MEASUREMENT
}

const writeTo = ({ router, askRouter }: Client, topic: string): ReturnType<AskRouter> =>
  askRouter(router.ref, { type: 'produce', records: [{ topic, partition: 0, key: null, value: 'x' }] })

answerParent({ start: () => ({}), run })
