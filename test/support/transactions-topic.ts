import { expect } from 'chai'
import type { RecordHeader } from '../../src/core/model.js'
import type { EmbeddedCluster } from '../../src/embedded-broker/embedded-cluster.js'
import type { Stage } from './stage.js'

/** Values of {@link topicOfTransactions}, as readers of committed records see them, and as others do. */
export const COMMITTED = ['first', 'second']
export const ALL = ['first', 'aborted', 'second', 'open']

/** A topic with records of transactions: committed, aborted, committed, and one that stays open. */
export async function topicOfTransactions(
  stage: Pick<Stage<EmbeddedCluster>, 'keep' | 'library' | 'topic'>,
  headers: readonly RecordHeader[] = []
): Promise<string> {
  const topic = await stage.topic()
  const castellan = await stage.library()
  const write = (value: string) => ({ topic, partition: 0, value, headers })
  const failed = new Error('it is aborted')
  await castellan.transaction('isolation', tx => tx.produce(write('first')))
  const aborted = castellan.transaction('isolation', async tx => {
    await tx.produce(write('aborted'))
    throw failed
  })
  expect(await aborted.catch((error: unknown) => error)).to.equal(failed)
  await castellan.transaction('isolation', tx => tx.produce(write('second')))
  await new Promise<void>((resolve, reject) => {
    const left = new AbortController()
    const opened = castellan.transaction(
      'isolation',
      async tx => {
        await tx.produce(write('open'))
        resolve()
        await new Promise(ended => left.signal.addEventListener('abort', ended))
      },
      { signal: left.signal }
    )
    opened.catch(reject)
    stage.keep(left, () => left.abort())
  })
  return topic
}
