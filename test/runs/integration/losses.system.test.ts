import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import type { Logger, RecordOutcome } from '../../../src/core/model.js'
import { silentLogger } from '../../../src/core/model.js'
import { openCastellan } from '../../../src/index.js'
import type { App } from '../../../src/server/app/app.js'
import { onCluster } from '../../support/stage.js'
import { freshTopic, pauseAll, resumeAll } from '../../support/target-cluster.js'
import { metricOf } from '../../support/test-app.js'

const PATIENCE_MS = 60_000

describe('records that were answered as accepted and are lost', () => {
  const stage = onCluster()
  let app: App | undefined
  let lines: string[]

  const start = async (settings: Readonly<Record<string, string>> = {}): Promise<void> => {
    lines = []
    const write: Logger['error'] = (fields, text) => lines.push(JSON.stringify({ ...fields, text }))
    app = await stage.app(
      {
        'delivery.createTopics': 'false',
        'advanced.router.unknownTopicTimeoutMs': '1000',
        'delivery.timeoutMs': '2000',
        'apis.arion.durability': 'memory',
        'shutdown.graceMs': '2000',
        ...settings
      },
      { ...silentLogger, error: write, warn: write }
    )
  }
  const post = async (path: string, body: string, type: string): Promise<string | null> => {
    const answer = await fetch(`${app!.urls.shared}${path}`, {
      method: 'POST',
      headers: { 'content-type': type },
      body
    })
    const text = await answer.text()
    expect(answer.status, text).to.be.oneOf([200, 202])
    return answer.headers.get('x-castellan-persisted')
  }
  const push = (topic: string, count: number, waits = false): Promise<string | null> => {
    const records = Array.from({ length: count }, (_, index) => ({ topic, data: `value ${index}`, key: 'k' }))
    return post('/kprf/push', JSON.stringify({ records, wait_for_send: waits }), 'application/json')
  }
  const lostOf = (api: string, reason: string): Promise<number> =>
    metricOf(app!.urls.management, `castellan_delivery_lost_records_total{api="${api}",reason="${reason}"}`)
  const untilLost = async (api: string, reason: string, count: number): Promise<void> => {
    const until = performance.now() + PATIENCE_MS
    while ((await lostOf(api, reason)) < count && performance.now() < until) await sleep(50)
    expect(await lostOf(api, reason), `${api} ${reason}\n${lines.join('\n')}`).to.equal(count)
  }
  const linesAbout = (api: string): { records: number; reason: string }[] =>
    lines
      .map(line => JSON.parse(line) as { api?: string; records: number; reason: string; text: string })
      .filter(line => line.api === api && /records? that \S+ had accepted (is|are) lost/.test(line.text))

  it('count for each API when no broker answers until their time is over, with a line and at the end', async () => {
    const topic = await stage.topic('late', 2)
    await start()
    expect(await push(topic, 1, true)).to.equal('yes')
    await pauseAll(stage.cluster)
    try {
      expect(await push(topic, 50)).to.equal('pending')
      for (let index = 0; index < 20; index++) {
        expect(await post(`/pixy/topics/${topic}/messages?key=${index}`, 'message', 'text/plain')).to.equal('pending')
        expect(await post(`/kafboy/async/${topic}`, `a=${index}`, 'application/x-www-form-urlencoded')).to.equal(
          'pending'
        )
        expect(await post(`/kafboy/batch/async/${topic}`, `b=${index}`, 'application/x-www-form-urlencoded')).to.equal(
          'pending'
        )
        expect(await post(`/arion/async/${topic}/${index}`, 'message', 'text/plain')).to.equal('pending')
      }
      await untilLost('kprf', 'timedOut', 50)
      await untilLost('kafka-pixy', 'timedOut', 20)
      await untilLost('kafboy', 'timedOut', 40)
      await untilLost('arion', 'timedOut', 20)
    } finally {
      await resumeAll(stage.cluster)
    }
    for (const [api, least] of [
      ['kprf', 50],
      ['kafka-pixy', 1],
      ['kafboy', 1],
      ['arion', 1]
    ] as const) {
      const told = linesAbout(api)
      expect(told[0], api).to.include({ reason: 'timedOut' })
      expect(told[0]!.records, api).to.be.at.least(least)
    }
    expect(await app!.stop()).to.deep.equal({ lostRecords: 130 })
    const said = ['kprf', 'kafka-pixy', 'kafboy', 'arion'].flatMap(linesAbout)
    expect(said.reduce((sum, { records }) => sum + records, 0)).to.equal(130)
  })

  it('count when their topic is never found', async () => {
    await start()
    const topic = freshTopic('nowhere')
    expect(await push(topic, 3)).to.equal('pending')
    await untilLost('kprf', 'unknownTopic', 3)
    expect(await app!.stop()).to.deep.equal({ lostRecords: 3 })
  })

  it('count when the process stops while they wait, those of batch routes included', async () => {
    const topic = await stage.topic('stopped', 2)
    await start({
      'delivery.timeoutMs': '120000',
      'delivery.maxBytes': '65536'
    })
    expect(await push(topic, 1, true)).to.equal('yes')
    await pauseAll(stage.cluster)
    try {
      expect(await push(topic, 5)).to.equal('pending')
      const value = 'x'.repeat(10_000)
      for (let index = 0; index < 4; index++) {
        const form = `a=${value}`
        expect(await post(`/kafboy/batch/async/${topic}`, form, 'application/x-www-form-urlencoded')).to.equal(
          'pending'
        )
      }
      expect(await app!.stop()).to.deep.equal({ lostRecords: 9 })
      const said = [...linesAbout('kprf'), ...linesAbout('kafboy')]
      expect(said.reduce((sum, { records }) => sum + records, 0)).to.equal(9)
    } finally {
      await resumeAll(stage.cluster)
    }
  })

  it('are none while Kafka takes everything', async () => {
    const topic = await stage.topic('fine', 2)
    // Real brokers that stood still a moment ago need some seconds until they take everything.
    await start({
      'shutdown.graceMs': '30000',
      'delivery.timeoutMs': '60000'
    })
    expect(await push(topic, 1, true)).to.equal('yes')
    expect(await push(topic, 20)).to.equal('pending')
    expect(await post(`/kafboy/batch/async/${topic}`, 'b=1', 'application/x-www-form-urlencoded')).to.equal('pending')
    expect(await app!.stop()).to.deep.equal({ lostRecords: 0 })
    expect(linesAbout('kprf').concat(linesAbout('kafboy'))).to.deep.equal([])
  })

  it('are counted by close() of the library, when nobody has asked for their outcomes', async () => {
    const topic = await stage.topic('library', 2)
    const castellan = await openCastellan({ brokers: stage.bootstrap, delivery: { timeoutMs: 2_000 } })
    const accept = (count: number) =>
      castellan.delivery.accept(
        Array.from({ length: count }, () => ({ topic, key: 'k', value: 'v' })),
        { partitioner: 'murmur2', deadlineMs: 2_000 }
      )
    // Real brokers that stood still a moment ago need longer than this record may take. Its outcome is asked for.
    for (let type = ''; type !== 'delivered'; ) [{ type }] = (await accept(1).outcomes()) as [RecordOutcome]
    await pauseAll(stage.cluster)
    try {
      accept(4)
      const until = performance.now() + PATIENCE_MS
      while (castellan.delivery.stats().bufferedRecords > 0 && performance.now() < until) await sleep(50)
    } finally {
      await resumeAll(stage.cluster)
    }
    expect(await castellan.close()).to.equal(4)
  })
})
