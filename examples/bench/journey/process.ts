import { fileURLToPath } from 'node:url'
import { answerParent } from '../tools/child.js'
import { DIST, loadCastellan, startInProcess } from '../tools/in-process.js'
import type { FileCalls } from './executed.js'
import { startPeer } from './peers.js'

/** What the measured process runs. */
export type Subject =
  | { readonly type: 'gateway'; readonly args: readonly string[] }
  | {
      readonly type: 'router'
      readonly bootstrap: string
      readonly topic: string
      readonly records: number
      readonly isCached: boolean
    }
  | { readonly type: 'transaction'; readonly bootstrap: string; readonly topic: string }
  | {
      readonly type: 'peer'
      readonly client: 'kafkajs' | 'platformatic'
      readonly bootstrap: string
      readonly port: number
    }

/** Limit of an answer. It has room for one record only, so that the next offset needs another call. */
const ONE_RECORD_BYTES = 1_200

const { takeCalls }: { takeCalls: () => Promise<FileCalls[]> } = await import(
  new URL('./coverage.mjs', import.meta.url).href
)

let work: () => Promise<void> = () => Promise.reject(new Error('its work comes by HTTP'))

async function start(subject: Subject): Promise<void> {
  if (subject.type === 'gateway') {
    process.argv = [process.execPath, fileURLToPath(new URL('main.js', DIST)), ...subject.args]
    // The gateway ends with this process.
    void import(new URL('main.js', DIST).href)
  } else if (subject.type === 'router') work = await fetching(subject)
  else if (subject.type === 'transaction') work = await writing(subject)
  else await startPeer(subject)
}

async function fetching({
  bootstrap,
  topic,
  records,
  isCached
}: Subject & { type: 'router' }): Promise<() => Promise<void>> {
  const settings = isCached ? {} : { cacheMaxBytes: 1, fetchBufferBytes: ONE_RECORD_BYTES }
  const { router, askRouter } = await startInProcess({ brokers: bootstrap, router: settings })
  let offset = 0
  return async () => {
    const topicPartition = { topic, partition: 0 }
    const result = await askRouter(router.ref, { type: 'fetchData', topicPartition, offset })
    if (result.type !== 'success') throw new Error(`${topic}/0@${offset}: ${result.type}`)
    if (!isCached) offset = result.batch.nextOffset % records
  }
}

/** Transactions of one record. */
async function writing({ bootstrap, topic }: Subject & { type: 'transaction' }): Promise<() => Promise<void>> {
  const { openCastellan } = await loadCastellan()
  const castellan = await openCastellan({ brokers: bootstrap })
  const value = 'x'.repeat(1024)
  return () => castellan.transaction('journey', async tx => void (await tx.produce({ topic, value })))
}

const once = (): Promise<void> => work()

answerParent({ start, once, take: takeCalls })
