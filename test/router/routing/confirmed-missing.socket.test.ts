import { expect } from 'chai'
import type { BatchAnswer } from '../../../src/router/messages/operations.js'
import { type EmbeddedRouter, startEmbeddedRouter } from '../../support/embedded-router.js'

/** Longer than any test: only look-ups that confirm it can tell that a topic is missing. */
const NEVER_MS = 600_000
const CLUSTER_AUTHORIZATION_FAILED = 31

describe('router: a topic that brokers do not have and do not create', () => {
  let stage: EmbeddedRouter
  afterEach(() => stage.stop())
  const start = async (autoCreateTopics: boolean, allowAutoTopicCreation: boolean): Promise<void> => {
    const settings = { unknownTopicTimeoutMs: NEVER_MS, allowAutoTopicCreation }
    stage = await startEmbeddedRouter({ nodes: 3, autoCreateTopics }, settings)
  }
  const lookUps = (): number =>
    stage.cluster.nodes.reduce((sum, { nodeId }) => sum + stage.cluster.requestCount('Metadata', nodeId), 0)
  const reasonOf = (answer: BatchAnswer): string => (answer.type === 'notSent' ? answer.reason : answer.type)

  it('is told to writers after a few look-ups, however long they would wait', async () => {
    await start(false, true)
    expect(reasonOf(await stage.write('none', 0, ['x']))).to.equal('unknownTopic')
    expect(lookUps()).to.be.within(4, 12)
  })

  it('is told to writers that have nothing created, whatever brokers would do', async () => {
    await start(true, false)
    expect(reasonOf(await stage.write('none', 0, ['x']))).to.equal('unknownTopic')
    expect(lookUps()).to.be.within(3, 12)
  })

  it('is waited for where brokers do not say whether they create it', async () => {
    await start(false, true)
    const untold = { api: 'DescribeConfigs', count: Number.POSITIVE_INFINITY } as const
    stage.cluster.faults.add(untold, { type: 'error', errorCode: CLUSTER_AUTHORIZATION_FAILED })
    let answer: BatchAnswer | undefined
    const written = stage.write('late', 0, ['x']).then(one => (answer = one))
    while (lookUps() < 8) await new Promise(resolve => setTimeout(resolve, 20))
    expect(answer).to.equal(undefined)
    stage.cluster.createTopic('late', { partitions: 1 })
    expect((await written).type).to.equal('appended')
  })

  it('is found where brokers create it', async () => {
    await start(true, true)
    expect((await stage.write('new', 0, ['x'])).type).to.equal('appended')
  })
})
