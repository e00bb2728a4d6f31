import { expect } from 'chai'
import { GrpcStage } from '../../apis/kafka-pixy/grpc-stage.js'
import { brief, PixyGateway } from '../../apis/kafka-pixy/stage.js'
import { type PeerAddress, peerSettings } from '../../support/peer-address.js'
import { QUICK_COMMITS, until } from '../../support/pixy-stage.js'
import { onCluster } from '../../support/stage.js'
import { freshTopic } from '../../support/target-cluster.js'

const NO_READER = 'no gateway of this deployment that answers reads the partition for the group'

describe('pixy: gateways that know each other', function () {
  this.timeout(120_000)
  const stage = onCluster()
  let addresses: PeerAddress[]
  let topic: string
  let group: string
  beforeEach(async () => {
    addresses = await stage.peers()
    topic = await stage.topic()
    group = freshTopic('billing')
  })

  const settings = (): Record<string, string> => ({
    ...QUICK_COMMITS,
    'consumer.start': 'earliest',
    'consumer.longPollMs': '1000',
    ...peerSettings(addresses)
  })
  async function start(number: 0 | 1, more: Record<string, string> = {}): Promise<PixyGateway> {
    const pixy = stage.keep(await PixyGateway.at(stage.bootstrap, { ...settings(), ...more }), one => one.stop())
    addresses[number]!.target = pixy.app.peersAddress
    return pixy
  }
  const messages = (): string => `/topics/${topic}/messages?group=${group}`
  const acks = (offset: number): string => `/topics/${topic}/acks?group=${group}&partition=0&offset=${offset}`
  const write = async (at: PixyGateway, ...values: string[]): Promise<void> => {
    for (const value of values) expect((await at.produce(`/topics/${topic}/messages?sync`, value)).status).to.equal(200)
  }
  /** Offset of the next message. */
  async function take(from: PixyGateway): Promise<number> {
    let offset: number | undefined
    await until(async () => {
      const answer = await from.get(messages())
      if (answer.status === 200) offset = (JSON.parse(answer.body) as { offset: number }).offset
      return offset !== undefined
    })
    return offset!
  }
  const committed = async (at: PixyGateway): Promise<number> => {
    const [{ offset }] = JSON.parse((await at.get(`/topics/${topic}/offsets?group=${group}`)).body) as [
      { offset: number }
    ]
    return offset
  }

  it('acknowledge at each of them what another one has given out', async () => {
    const [a, b] = [await start(0), await start(1)]
    await write(a, 'm0', 'm1', 'm2')
    const given = [await take(a), await take(a), await take(a)]
    for (const [at, offset] of given.entries()) {
      // The first look-up of the others may not be over.
      await until(async () => brief(await b.post(acks(offset))) === '200 {}')
      // Again: it is acknowledged already.
      if (at === 0) expect(brief(await b.post(acks(offset)))).to.equal('200 {}')
    }
    await until(async () => (await committed(b)) === given[2]! + 1)
    expect(brief(await b.post(acks(given[2]! + 1)))).to.equal(
      `400 {"error":"offset ${given[2]! + 1} of {${group} ${topic} 0} has not been offered"}`
    )
  })

  it('acknowledge at the first one what the second one has given out, over gRPC too', async () => {
    const a = stage.keep(await GrpcStage.start(stage.bootstrap, settings()), one => one.stop())
    addresses[0]!.target = a.app.peersAddress
    const b = await start(1)
    await write(b, 'm0')
    const offset = await take(b)
    const refusal = async (): Promise<string> => {
      const asked = a.ask('Ack', { topic, group, partition: 0, offset })
      return asked.then(
        () => '',
        (error: Error) => error.message
      )
    }
    await until(async () => (await refusal()) === '')
    await until(async () => (await committed(b)) === offset + 1)
    const unread = a.ask('Ack', { topic, group: freshTopic('nobody'), partition: 0, offset })
    expect(
      await unread.then(
        () => '',
        (error: Error) => error.message
      )
    ).to.contain(NO_READER)
  })

  it('name the cause when the one that gave a message out is gone', async () => {
    const [a, b] = [await start(0), await start(1)]
    await write(a, 'm0')
    const offset = await take(a)
    await until(async () => brief(await b.post(acks(offset))) === '200 {}')
    await a.stop()
    expect(brief(await b.post(acks(offset)))).to.equal(
      `500 {"error":"acks channel missing for {${group} ${topic} 0}: ${NO_READER}"}`
    )
    await write(b, 'm1')
    const next = await take(b)
    expect([next, brief(await b.post(acks(next)))]).to.deep.equal([offset + 1, '200 {}'])
  })

  it('serve what is their own while another one never answers', async () => {
    const [a, b] = [await start(0), await start(1)]
    await write(a, 'm0', 'm1')
    const offset = await take(a)
    await until(async () => brief(await b.post(acks(offset))) === '200 {}')
    addresses[0]!.silence()
    expect((await b.post(acks(offset))).status).to.equal(500)
    const other = `/topics/${topic}/messages?group=${freshTopic('other')}`
    await until(async () => (await b.get(other)).status === 200)
    expect(brief(await a.post(acks(await take(a))))).to.equal('200 {}')
  })

  it('are off by default: nothing listens, and the answer is that of Kafka-Pixy', async () => {
    const alone = stage.keep(await PixyGateway.at(stage.bootstrap, QUICK_COMMITS), one => one.stop())
    expect(alone.app.peersAddress).to.equal(undefined)
    expect(brief(await alone.post(acks(0)))).to.equal(`500 {"error":"acks channel missing for {${group} ${topic} 0}"}`)
  })
})
