import { expect } from 'chai'
import { type Castellan, startCastellan } from '../../support/castellan.js'
import { KafkaCluster } from './cluster.js'

const SMALL_REQUESTS_BYTES = 2_500_000

/** A cluster of its own, since it is wiped. */
describe('a cluster with small requests that is wiped', function () {
  this.timeout(300_000)
  let kafka: KafkaCluster
  let castellan: Castellan
  before(async () => {
    kafka = await KafkaCluster.start({ 'socket.request.max.bytes': SMALL_REQUESTS_BYTES })
    castellan = await startCastellan(kafka.bootstrap)
  })
  after(async () => {
    await castellan?.close()
    await kafka?.stop()
  })
  const valuesIn = async (topic: string): Promise<string[]> => {
    const reader = await startCastellan(kafka.bootstrap)
    try {
      return (await reader.readAll(topic, 0)).map(({ value }) => String(value))
    } finally {
      await reader.close()
    }
  }

  it('gets requests as small as it takes them, and every record', async () => {
    await kafka.createTopic('large', 24)
    const value = Buffer.alloc(900_000, 'x')
    for (let round = 0; round < 3; round++) {
      const records = Array.from({ length: 48 }, (_, at) => ({ topic: 'large', partition: at % 24, key: null, value }))
      const outcomes = await castellan.produce(records)
      expect(outcomes.map(({ type }) => type)).to.deep.equal(records.map(() => 'delivered'))
    }
  })

  it('has every record that was acknowledged after it was wiped', async () => {
    await kafka.createTopic('orders', 1)
    const produce = async (by: Castellan, value: string): Promise<string> => {
      const [outcome] = await by.produce([{ topic: 'orders', partition: 0, key: null, value }])
      return outcome!.type === 'delivered' ? value : JSON.stringify(outcome)
    }
    for (let at = 0; at < 3; at++) expect(await produce(castellan, `old ${at}`)).to.equal(`old ${at}`)
    await kafka.wipe()
    await kafka.createTopic('orders', 1)
    const strangers = await Promise.all(Array.from({ length: 4 }, () => startCastellan(kafka.bootstrap)))
    for (const stranger of strangers) for (let at = 0; at < 3; at++) await produce(stranger, `stranger ${at}`)
    await Promise.all(strangers.map(stranger => stranger.close()))
    const values: string[] = []
    for (let at = 0; at < 10; at++) values.push(await produce(castellan, `new ${at}`))
    expect(values).to.deep.equal(Array.from({ length: 10 }, (_, at) => `new ${at}`))
    expect((await valuesIn('orders')).filter(value => value.startsWith('new'))).to.deep.equal(values)
  })
})
