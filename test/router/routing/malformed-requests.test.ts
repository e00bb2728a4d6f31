import { expect } from 'chai'
import type { RouterMessage } from '../../../src/router/messages/operations.js'
import { askRouter } from '../../../src/router/routing/ask-router.js'
import { CastleRouter, metaGood } from '../../support/castle-router.js'
import { FakeTime } from '../../support/fake-time.js'
import { ScriptedCluster } from '../../support/scripted-client.js'

const at = { topic: 'perf', partition: 1 }

describe('router: requests of callers without types', () => {
  let castle: CastleRouter
  let time: FakeTime | undefined
  afterEach(async () => {
    await castle.stop()
    time?.restore()
    time = undefined
  })

  /** Tells the Router, and collects what comes back. */
  const tell = (message: object): { type: string; code?: string }[] => {
    const results: { type: string; code?: string }[] = []
    castle.router.ref.tell({ ...message, requester: { reply: (result: never) => results.push(result) } } as never)
    return results
  }

  const incomplete: Record<string, object> = {
    'no partition': { type: 'fetchData', offset: 0 },
    'a topic where a list belongs': { type: 'fetchTopicMetadata', requestId: 1, topics: 'perf' },
    'no offset to commit': { type: 'commitConsumerOffset', groupId: 'g', topicPartition: at },
    'a time-out that is no number': { type: 'fetchOffset', topicPartition: at, offsetType: 'latest', timeoutMs: NaN },
    'a type that no request has': { type: 'fetchDta', topicPartition: at, offset: 0 },
    'a time-out that is text': { type: 'fetchOffset', topicPartition: at, offsetType: 'latest', timeoutMs: '5' }
  }
  for (const [what, request] of Object.entries(incomplete)) {
    it(`are refused: ${what}`, async () => {
      castle = new CastleRouter(metaGood(new ScriptedCluster([1])))
      const results = tell(request)
      await new Promise(resolve => setImmediate(resolve))
      await new Promise(resolve => setImmediate(resolve))
      expect(results.map(({ type, code }) => [type, code])).to.deep.equal([['failed', 'invalidRequest']])
    })
  }

  it('are passed over when they are none, and the next one is answered', async () => {
    castle = new CastleRouter(metaGood(new ScriptedCluster([1])))
    const foreign: unknown[] = [null, undefined, 5, 'fetchData', {}, { type: 'stop' }, { type: 'requests' }]
    for (const message of [...foreign, { type: 'requests', requests: [null] }]) {
      castle.router.ref.tell(message as RouterMessage)
    }
    const result = await castle.ask({ type: 'fetchTopicMetadata', requestId: 7, topics: ['perf'] })
    expect(result.type).to.equal('success')
    await castle.router.stop()
    expect(tell({ type: 'produce' }).map(({ type }) => type)).to.deep.equal(['completed'])
  })

  it('are refused in a list, in which the others are answered, in its order', async () => {
    castle = new CastleRouter(metaGood(new ScriptedCluster([1])))
    const wrong = { type: 'fetchDta', topicPartition: at, offset: 0 } as never
    const metadata = { type: 'fetchTopicMetadata', topics: ['perf'] } as const
    const results = await askRouter(castle.router.ref, [metadata, wrong, { ...metadata, requestId: 7 }])
    expect(results.map(({ type }: { type: string }) => type)).to.deep.equal(['success', 'failed', 'success'])
    expect([results[0].requestId, results[2].requestId]).to.deep.equal([undefined, 7])
    expect(await askRouter(castle.router.ref, [])).to.deep.equal([])
  })

  it('may wait for ever without a timer that spins or holds up others', async () => {
    const cluster = new ScriptedCluster([1])
    cluster.always(0, 'metadata', () => {
      throw new Error('gone')
    })
    time = new FakeTime()
    castle = new CastleRouter(cluster, { brokerBackoffMs: 10 }, undefined, time.now)
    const patient = [Infinity, Number.MAX_SAFE_INTEGER].map(timeoutMs =>
      tell({ type: 'fetchOffset', topicPartition: at, offsetType: 'latest', timeoutMs })
    )
    const other = tell({ type: 'fetchOffset', topicPartition: at, offsetType: 'latest', timeoutMs: 20 })
    const inAsk = askRouter(castle.router.ref, {
      type: 'fetchOffset',
      topicPartition: at,
      offsetType: 'latest',
      timeoutMs: Number.POSITIVE_INFINITY
    })
    await time.pass(40)
    expect(other.map(({ type }) => type)).to.deep.equal(['timedOut'])
    expect(patient.flat()).to.deep.equal([])
    await castle.router.stop()
    expect((await inAsk).type, 'not given up before').to.equal('failed')
  })
})
