import { expect } from 'chai'
import { onBroker } from '../support/stage.js'
import { FakeEndpoint } from './fake-endpoint.js'
import { hook, statusOf, webhooksOf } from './webhook-stage.js'

/** Asks until it is so; the test's own time limit ends it. */
async function until(isSo: () => Promise<boolean> | boolean): Promise<void> {
  while (!(await isSo())) await new Promise(resolve => setTimeout(resolve, 5))
}

describe('webhooks', () => {
  const stage = onBroker()

  it('send each record of the topic, and commit what was answered with 2xx', async () => {
    const topic = await stage.topic()
    const castellan = await stage.library()
    await castellan.produceOrThrow([
      { topic, key: 'a', value: 'one' },
      { topic, key: null, value: null }
    ])
    const endpoint = new FakeEndpoint(() => 204)
    const webhooks = stage.keep(webhooksOf(castellan, endpoint), one => one.close(1_000))
    webhooks.configure([hook({ topic })])
    await until(() => endpoint.attempts.length === 2)
    const [first, second] = endpoint.attempts
    expect(first!.body.toString()).to.equal('one')
    expect(Object.fromEntries(first!.named)).to.deep.equal({
      'content-type': 'text/plain',
      'x-castellan-topic': topic,
      'x-castellan-partition': '0',
      'x-castellan-offset': '0',
      'x-castellan-attempt': '1',
      'x-castellan-key': 'YQ=='
    })
    expect(second!.named.get('x-castellan-null')).to.equal('value')
    expect(second!.id).to.equal(first!.id.replace(/0$/, '1'))
    const committed = async () => {
      const offsets = await castellan.verbs.groups.offsets('castellan-webhook-hook', topic, 5_000)
      return offsets?.[0]?.committed?.offset
    }
    await until(async () => (await committed()) === 2)
    expect(statusOf(webhooks)).to.include({ state: 'running', inFlight: 0, failingSince: undefined })
  })
})
