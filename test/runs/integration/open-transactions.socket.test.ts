import { expect } from 'chai'
import { onCluster } from '../../support/stage.js'
import { inWorld } from './in-world.js'

const STEP_MS = 20_000
/** After the committed record and the marker of its transaction. */
const BEGINS_AT = 2

describe('a transaction that is left open', () => {
  inWorld()
  const stage = onCluster()
  let topic: string
  let end: () => Promise<void>

  /** One committed record, and an open transaction with another one. */
  beforeEach(async () => {
    topic = await stage.topic('left-open', 1)
    const library = await stage.library()
    await library.transaction(`of ${topic}`, tx => tx.produce({ topic, partition: 0, value: 'committed' }))
    const left = new AbortController()
    stage.keep(left, () => left.abort())
    await new Promise<void>((resolve, reject) => {
      const opened = library.transaction(
        `of ${topic}`,
        async tx => {
          await tx.produce({ topic, partition: 0, value: 'open' })
          resolve()
          await new Promise(ended => left.signal.addEventListener('abort', ended))
          throw new Error('it is aborted')
        },
        { signal: left.signal }
      )
      opened.catch(reject)
      end = () => {
        left.abort()
        return opened.then(
          () => undefined,
          () => undefined
        )
      }
    })
  })

  for (const isolationLevel of ['readUncommitted', 'readCommitted'] as const)
    it(`is seen by reads with ${isolationLevel} from a minute on, until it has ended`, async () => {
      let aheadMs = 0
      const castellan = stage.castellan({ clock: () => performance.now() + aheadMs, router: { isolationLevel } })
      const open = () => castellan.router.openTransactions()
      await castellan.readAll(topic, 0)
      for (let step = 0; step < 3; step++) {
        expect(open()).to.deep.equal([])
        aheadMs += STEP_MS
        await castellan.readAll(topic, 0)
      }
      const [{ openMs, ...view }] = open() as [ReturnType<typeof open>[number]]
      const holdsReads = isolationLevel === 'readCommitted'
      expect(view).to.deep.equal({ topic, partition: 0, lastStableOffset: BEGINS_AT, records: 1, holdsReads })
      expect(openMs).to.be.within(60_000, 120_000)
      await end()
      while (open().length > 0) await castellan.readAll(topic, 0)
    })
})
