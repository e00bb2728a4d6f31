import { expect } from 'chai'
import { freshTopic } from '../../support/target-cluster.js'
import { GatewayProcess } from './gateway-process.js'
import { kcatConsume } from './kcat.js'
import { runningKafka } from './shared-cluster.js'

// kprf gives up after 2 s, which a busy machine needs to create a topic.
const patient = ['--set', 'apis.kprf.messageTimeoutMs=30000']

describe('POST /kprf/push to the command, on real Kafka', () => {
  let gateway: GatewayProcess
  before(async () => {
    gateway = await GatewayProcess.start(runningKafka().workspace, runningKafka().bootstrap, ...patient)
  })
  after(() => gateway?.process.kill('SIGKILL'))

  const push = async (body: unknown): Promise<unknown> => {
    const headers = { 'content-type': 'application/json' }
    const answer = await fetch(`${gateway.url}/kprf/push`, { method: 'POST', headers, body: JSON.stringify(body) })
    return [answer.status, await answer.json()]
  }

  it('is in the log as kcat reads it, also of a topic that had not been created', async () => {
    const topic = freshTopic('pushed')
    const records = ['', 'text', 'é\u0000\u{1f511}', '{"a":"__proto__"}'].map(data => ({
      topic,
      partition: 0,
      key: data,
      data
    }))
    expect(await push({ records, wait_for_send: true })).to.deep.equal([200, { status: 'ok', errors: [] }])
    const read = await kcatConsume(runningKafka().bootstrap, topic)
    expect(read.map(({ key, value }) => [String(key), String(value)])).to.deep.equal(
      records.map(({ data }) => [data, data])
    )
  })

  it('is in the log when it did not wait, after the process was asked to end', async () => {
    const topic = freshTopic('pushed')
    await runningKafka().createTopic(topic, 1)
    for (let index = 0; index < 100; index++) {
      const records = [{ topic, data: String(index) }]
      expect(await push({ records })).to.deep.equal([200, { status: 'ok', errors: [] }])
    }
    expect(await gateway.stop()).to.equal(0)
    const read = await kcatConsume(runningKafka().bootstrap, topic)
    expect(read.map(({ value }) => String(value)).join()).to.equal(
      Array.from({ length: 100 }, (_, index) => index).join()
    )
  })
})
